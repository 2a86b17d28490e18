//! The table of an order's events, by leg: [`event_types`](crate::event_types) with the step that each event is.

/// Declares `OrderEvent` from one block of rows for each leg, and one for events that stand beside the legs. `Leg(Done) { .. }` names the leg and the type of its
/// evidence; `=> Step` is the step that the event records. Generates the conversions between events and steps, and
/// `AnyLegStep`, which is a step of any leg.
macro_rules! order_events {
    (
        $(#[$meta:meta])*
        pub enum $enum:ident {
            request { $(#[$rdoc:meta])* $request:ident ($rdata:ty) = $rname:literal, }
            beside {
                $( $(#[$bdoc:meta])* $beside:ident #$bn:ident ($bdata:ty) = $bname:literal, )+
            }
            $( $leg:ident ($done:ty) {
                $( $(#[$doc:meta])* $variant:ident $(#$n:ident)? ($data:ty) = $name:literal $(in $queue:literal)? => $step:ident, )+
            } )+
        }
    ) => {
        $crate::event_types! {
            $(#[$meta])*
            pub enum $enum {
                $(#[$rdoc])* $request ($rdata) = $rname,
                $( $(#[$bdoc])* $beside #$bn ($bdata) = $bname, )+
                $($( $(#[$doc])* $variant $(#$n)? ($data) = $name $(in $queue)?, )+)+
            }
        }

        /// A leg of an order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum LegName {
            $( #[doc = concat!("The leg whose evidence is [`", stringify!($done), "`].")] $leg, )+
        }

        /// A step of one of an order's legs.
        #[derive(Clone, Debug, PartialEq)]
        pub enum AnyLegStep {
            $( #[doc = concat!("A step of the leg whose evidence is [`", stringify!($done), "`].")]
               $leg($crate::order::LegStep<$done>), )+
        }

        impl $enum {
            /// The leg and the step that the event is; `None` for the request and for what stands beside the legs.
            pub const fn leg(&self) -> Option<(LegName, $crate::order::StepName)> {
                match self {
                    Self::$request(..) $(| Self::$beside(..))+ => None,
                    $($( Self::$variant(..) => Some((LegName::$leg, $crate::order::StepName::$step)), )+)+
                }
            }

            /// The step with its evidence; `None` for the request and for what stands beside the legs.
            pub fn step(&self) -> Option<AnyLegStep> {
                match self.clone() {
                    Self::$request(..) $(| Self::$beside(..))+ => None,
                    $($( Self::$variant($($n,)? data) => {
                        Some(AnyLegStep::$leg($crate::order::LegStep::$step($($n,)? data)))
                    } )+)+
                }
            }

            /// The event that says that a leg takes this step; `None` if no event type says so.
            pub fn of(step: AnyLegStep) -> Option<Self> {
                match step {
                    $($( AnyLegStep::$leg($crate::order::LegStep::$step($($n,)? data)) => Some(Self::$variant($($n,)? data)), )+)+
                    _ => None,
                }
            }
        }
    };
}

pub(super) use order_events;
