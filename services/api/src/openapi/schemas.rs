//! Schemas for types of other crates: the form of an address, an amount or a status in an answer.

use chrono::{DateTime, Utc};
use domain::event::{FailureReason, ParkReason, WaitReason};
use domain::{Event, examples};
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::schema::{KnownFormat, SchemaFormat};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// Declares a schema by name. Its doc comment becomes the description.
macro_rules! schema {
    ($(#[doc = $doc:literal])+ $name:ident = $schema:expr) => {
        $(#[doc = $doc])+
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.description(Some([$($doc.trim()),+].join(" "))).into()
            }
        }

        impl ToSchema for $name {}
    };
}

/// The names of an enum's variants as serde spells them. A missing variant does not compile.
macro_rules! names {
    ($kind:path: $($variant:ident),+ $(,)?) => {{
        use $kind as Kind;
        let all = [$(Kind::$variant),+];
        for one in &all {
            match one { $(Kind::$variant => {})+ }
        }
        all.iter().filter_map(spelling).collect::<Vec<String>>()
    }};
}

fn spelling<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_value(value).ok().as_ref().and_then(Value::as_str).map(str::to_owned)
}

fn text(pattern: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).examples([example])
}

fn one_of(mut names: Vec<String>) -> ObjectBuilder {
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names))
}

schema! {
    /// An account or contract in an answer: lower-case hex.
    Address = text("^0x[0-9a-f]{40}$", "0x70997970c51812dc3a010c7d01b50e0d17dc79c8")
}
schema! {
    /// An account or contract in a request, in hex digits of any case; compared by value.
    AnyAddress = text("^0x[0-9a-fA-F]{40}$", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
}
schema! {
    /// 32 bytes, lower-case hex: a transaction or a payment key.
    Hash = text("^0x[0-9a-f]{64}$", "0xd82b09329a61842e1fa3d602be95ebae83c26df31213ea849e290477b854217b")
}
schema! {
    /// A payment, its order and the mint that it owes: UUIDv5 of the payment key, so it follows from the payment.
    PaymentId = text(
        "^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        "27907acb-fe7f-59f4-8b75-3f5e5d9d9996"
    )
}
schema! {
    /// USDC in atomic units, six decimals, as a decimal string: `"10000"` is 0.01 USDC.
    Usdc = text("^(0|[1-9][0-9]{0,19})$", "10000")
}
schema! {
    /// A whole number as a decimal string, because JSON numbers lose digits.
    Decimal = text("^(0|[1-9][0-9]{0,38})$", "1000000000000000000")
}
schema! {
    /// Units of a token.
    Quantity = ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::Integer))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(1))
        .maximum(Some(u32::MAX))
        .examples([10])
}
schema! {
    /// The coarse state of a payment. `pending`: nothing is sent, or an operator must look; `sent`: in a transaction;
    /// `completed`: charged, N blocks deep; `failed`: can never be charged, or the payer has the money back.
    PaymentStatus = one_of(names!(live::PaymentStatus: Pending, Sent, Completed, Failed))
}
schema! {
    /// The coarse state of a mint. `pending`: waits; `processing`: in a transaction; `completed`: minted, N blocks
    /// deep; `failed`: parked for an operator, or nothing is minted, because the payment failed or its money goes back.
    MintStatus = one_of(names!(live::MintStatus: Pending, Processing, Completed, Failed))
}
schema! {
    /// State of a mint transaction.
    BatchStatus = one_of(names!(store::BatchStatus: Processing, Completed, Failed))
}
schema! {
    /// The fine state of an order, from the request to the mint or the refund.
    State = one_of(names!(
        domain::Stage: Requested, Deferred, PaymentParked, Settling, Reverted, Failed, Paid, Minting, MintDeferred,
        MintParked, Minted, RefundRequested, Refunding, RefundDeferred, RefundParked, Refunded
    ))
}
schema! {
    /// The reason why an order waits, failed or is parked, and in the event `refund.requested` the reason of a refund. `sold_out`: the token has too few units left, and units come
    /// back when payments are refunded. `settlement_stopped`: owner or guardian of the token's factory have stopped new
    /// payments. `payer_budget`: payments of this payer failed on chain and used up the gas of a day. `paid_around_token`: the authorization was submitted to USDC directly, so the money is at the token
    /// without a record, and an operator records the payment or returns it. `held`: a service has given the order up, whatever its
    /// state, and a person must look. `operator`: a person decided that the money goes back.
    Reason = one_of([waits(), failures(), parks(), vec!["held".to_owned()], refunds()].concat())
}
schema! {
    /// The reason of a refund. `operator`: a person decided so. `sold_out`: the payer was charged around the token, and too
    /// few units are left to record the payment.
    RefundReason = one_of(refunds())
}
schema! {
    /// Type of an event of an order.
    EventType = one_of(event_types())
}
schema! {
    /// The account that caused the payment, the mint or the refund: one of our lanes, or somebody else.
    Actor = one_of(names!(domain::event::Actor: Paymint, ThirdParty))
}

fn event_types() -> Vec<String> {
    let name = |event| match event {
        Event::Order(_, event) => Some(event.name().to_owned()),
        _ => None,
    };
    examples::all().into_iter().filter_map(name).collect()
}

fn waits() -> Vec<String> {
    names!(
        WaitReason: Unfunded, AuthorizationUsedOrCancelled, AuthorizationExpired, AuthorizationNotYetValid,
        SignatureRefused, Blacklisted, AssetPaused, NotAttempted, SoldOut, SettlementStopped, PayerBudget, Unpaid,
        Unexplained
    )
}

fn failures() -> Vec<String> {
    names!(FailureReason: Expired, UnfundedUntilExpired, SoldOut, Cancelled, UsedElsewhere)
}

fn parks() -> Vec<String> {
    names!(ParkReason: PaidAroundToken, Inconsistent, Unexplained)
}

fn refunds() -> Vec<String> {
    names!(domain::event::RefundReason: Operator, SoldOut)
}

/// One frame of an event stream. In `data` is one line of JSON: a `News`, or with `reset` a `Reset`.
pub(crate) struct Frame;

impl PartialSchema for Frame {
    fn schema() -> RefOr<Schema> {
        let news = ObjectBuilder::new()
            .schema_type(Type::String)
            .content_media_type("application/json")
            .content_schema(Some(OneOfBuilder::new().item(ref_of("News")).item(ref_of("Reset"))));
        ObjectBuilder::new()
            .description(Some("One event of a stream, by its fields. In `data` is one line of JSON: a `News`, or with `reset` a `Reset`."))
            .property("id", text("^[1-9][0-9]*$", "6").description(Some("The ledger's sequence.")))
            .property("event", one_of([event_types(), vec!["reset".to_owned()]].concat()))
            .property("data", news)
            .required("id")
            .required("event")
            .required("data")
            .into()
    }
}

impl ToSchema for Frame {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        for (name, schema) in [(NewsSchema::name(), NewsSchema::schema()), (Reset::name(), Reset::schema())] {
            schemas.push((name.into(), schema));
        }
        NewsSchema::schemas(schemas);
    }
}

/// The `data:` of a frame: no signature, no raw transaction.
#[derive(ToSchema)]
#[schema(as = News, rename_all = "camelCase")]
#[allow(dead_code)]
pub(crate) struct NewsSchema {
    sequence: u64,
    #[schema(rename = "type", value_type = EventType)]
    kind: String,
    #[schema(value_type = PaymentId)]
    payment_queue_id: String,
    #[schema(value_type = Address)]
    payer: String,
    #[schema(value_type = Address)]
    token: String,
    time: DateTime<Utc>,
    /// Absent with `state` if the event changes neither, as `order.held`.
    #[schema(value_type = Option<PaymentStatus>, nullable = false)]
    status: Option<String>,
    #[schema(value_type = Option<State>, nullable = false)]
    state: Option<String>,
    #[schema(value_type = Option<MintStatus>, nullable = false)]
    mint_status: Option<String>,
    #[schema(value_type = Option<Hash>, nullable = false)]
    tx_hash: Option<String>,
    #[schema(value_type = Option<Reason>, nullable = false)]
    reason: Option<String>,
    #[schema(nullable = false)]
    detail: Option<String>,
}

/// The missed events are no longer known: discard your state, load `reload`, and continue from `sequence`.
#[derive(ToSchema)]
#[allow(dead_code)]
pub(crate) struct Reset {
    sequence: u64,
    /// A path of this API.
    #[schema(pattern = "^/")]
    reload: String,
}

fn ref_of(name: &str) -> Ref {
    Ref::from_schema_name(name)
}

/// A problem document (RFC 9457), at most 1 KB. It never echoes what was sent.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[allow(dead_code)]
pub(crate) struct ProblemSchema {
    /// `urn:paymint:problem:` and the code.
    #[schema(rename = "type", pattern = "^urn:paymint:problem:[a-z0-9_]+$")]
    kind: String,
    /// For people; may change.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// Stable code by which programs decide.
    code: String,
    /// The defect and what to send instead, for people; may change.
    detail: String,
    /// The order that the problem is about.
    #[schema(rename = "paymentQueueId", value_type = Option<PaymentId>, nullable = false)]
    payment_queue_id: Option<String>,
}

/// The offer as x402 v1 has it: the body of a 402. v2 has the same offer in the header `PAYMENT-REQUIRED`. After a
/// payment that was refused it carries the fields of a problem document as well.
#[derive(ToSchema)]
#[schema(as = PaymentRequired, rename_all = "camelCase")]
#[allow(dead_code)]
pub(crate) struct PaymentRequiredSchema {
    #[schema(minimum = 1, maximum = 1)]
    x402_version: u8,
    /// The reason, in the words of x402.
    error: String,
    /// One offer, or none on a chain that v1 clients do not know.
    #[schema(max_items = 1)]
    accepts: Vec<PaymentRequirements>,
    #[schema(rename = "type", nullable = false)]
    kind: Option<String>,
    #[schema(nullable = false)]
    title: Option<String>,
    #[schema(nullable = false)]
    status: Option<u16>,
    /// Stable code by which programs decide. Absent if there was no payment to refuse.
    #[schema(nullable = false)]
    code: Option<String>,
    #[schema(nullable = false)]
    detail: Option<String>,
}

/// Offered terms, x402 v1, scheme `exact`.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
pub(crate) struct PaymentRequirements {
    #[schema(pattern = "^exact$")]
    scheme: String,
    /// The chain's name in v1, such as `base-sepolia`.
    network: String,
    /// The exact price, not a maximum.
    #[schema(value_type = Usdc)]
    max_amount_required: String,
    /// The URL that is paid for.
    resource: String,
    description: String,
    mime_type: String,
    /// The token itself is the payee.
    #[schema(value_type = AnyAddress)]
    pay_to: String,
    /// Sign for this long, seconds.
    #[schema(minimum = 1, maximum = 86400)]
    max_timeout_seconds: u64,
    /// The USDC contract.
    #[schema(value_type = AnyAddress)]
    asset: String,
    extra: AssetDomain,
}

/// Name and version of the asset's EIP-712 domain.
#[derive(ToSchema)]
#[allow(dead_code)]
pub(crate) struct AssetDomain {
    name: String,
    version: String,
}
