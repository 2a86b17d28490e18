//! A CloudEvent as a borrowed view, read in one pass over the bytes of a stored message and without copies.
//!
//! The SDK first builds a tree of values and then copies the data out of it, which took a third of the processor time
//! of every service. A test holds this view equal to the SDK's reader: what the SDK refuses is refused. The view is
//! stricter on purpose. It refuses a duplicate attribute, data in base64, data of another type than JSON, and a schema
//! by URL, because no event of ours has any of them.

use chrono::DateTime;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A string that is copied only if it holds an escape.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The attributes and the data of a structured CloudEvent 1.0.
#[derive(Debug, Default)]
pub(crate) struct View<'a> {
    pub id: Cow<'a, str>,
    pub ty: Cow<'a, str>,
    pub source: Cow<'a, str>,
    pub subject: Option<Cow<'a, str>>,
    pub trace: Option<Cow<'a, str>>,
    /// The data, as JSON text.
    pub data: &'a str,
}

impl<'a> View<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// An error that says what is wrong with the payload.
    pub(crate) fn read(payload: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(payload)
    }
}

impl<'de> Deserialize<'de> for View<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Attributes)
    }
}

struct Attributes;

impl<'de> Visitor<'de> for Attributes {
    type Value = View<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<View<'de>, A::Error> {
        let [mut version, mut id, mut ty, mut source] = [const { None }; 4];
        let [mut subject, mut content_type, mut time, mut schema] = [const { None }; 4];
        let (mut data, mut trace) = (None, None);
        while let Some(Text(name)) = map.next_key()? {
            let slot = match &*name {
                "specversion" => &mut version,
                "id" => &mut id,
                "type" => &mut ty,
                "source" => &mut source,
                "subject" => &mut subject,
                "datacontenttype" => &mut content_type,
                "time" => &mut time,
                "dataschema" => &mut schema,
                "data" => {
                    if data.replace(map.next_value::<&RawValue>()?.get()).is_some() {
                        return Err(A::Error::duplicate_field("data"));
                    }
                    continue;
                }
                "data_base64" => return Err(A::Error::custom("data in base64")),
                "traceparent" => {
                    trace = extension::<A::Error>(map.next_value()?)?;
                    continue;
                }
                _ => {
                    extension::<A::Error>(map.next_value()?)?;
                    continue;
                }
            };
            // Null means the same as absent.
            let Some(Text(text)) = map.next_value()? else { continue };
            if slot.replace(text).is_some() {
                return Err(A::Error::custom(format!("duplicate attribute `{name}`")));
            }
        }
        let required = |slot: Option<Cow<'de, str>>, name| slot.ok_or_else(|| A::Error::missing_field(name));
        let version = required(version, "specversion")?;
        if version != "1.0" {
            return Err(A::Error::custom(format!("specversion {version}")));
        }
        if content_type.is_some_and(|found| found != "application/json") || schema.is_some() {
            return Err(A::Error::custom("data is not JSON of a schema of ours"));
        }
        if let Some(time) = time {
            DateTime::parse_from_rfc3339(&time).map_err(A::Error::custom)?;
        }
        Ok(View {
            id: required(id, "id")?,
            ty: required(ty, "type")?,
            source: required(source, "source")?,
            subject,
            trace,
            data: data.ok_or_else(|| A::Error::missing_field("data"))?,
        })
    }
}

/// Reads an extension attribute: a string, a truth value or a whole number; `None` for null.
fn extension<'a, E: Error>(raw: &'a RawValue) -> Result<Option<Cow<'a, str>>, E> {
    let text = raw.get();
    match text {
        "null" => Ok(None),
        "true" | "false" => Ok(Some(Cow::Borrowed(text))),
        _ if text.starts_with('"') => {
            serde_json::from_str::<Text<'a>>(text).map(|Text(text)| Some(text)).map_err(E::custom)
        }
        _ if text.parse::<i64>().is_ok() => Ok(Some(Cow::Borrowed(text))),
        _ => Err(E::custom(format!("an extension attribute is {text}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::envelope::encode;
    use chrono::Utc;
    use cloudevents::{AttributesReader, Data, Event};
    use domain::examples;
    use serde_json::Value;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// Reads a payload with both readers and compares the results. Returns whether the SDK and the view accept it.
    fn taken(payload: &str) -> (bool, bool) {
        let sdk = serde_json::from_str::<Event>(payload);
        let view = View::read(payload.as_bytes());
        if let (Ok(sdk), Ok(view)) = (&sdk, &view) {
            assert_eq!((sdk.id(), sdk.ty(), sdk.source().as_str()), (&*view.id, &*view.ty, &*view.source));
            assert_eq!(sdk.subject(), view.subject.as_deref());
            assert_eq!(sdk.extension("traceparent").map(ToString::to_string).as_deref(), view.trace.as_deref());
            let data = serde_json::from_str::<Value>(view.data).unwrap();
            assert_eq!(sdk.data(), Some(&Data::Json(data)), "{payload}");
        }
        (sdk.is_ok(), view.is_ok())
    }

    #[test]
    fn the_view_and_the_sdk_say_the_same_of_every_example() {
        for event in examples::all() {
            for trace in [None, Some(TRACE), Some("a \"quoted\" \u{1f980} one")] {
                let payload = encode(&event, "/paymint/test", trace, Utc::now()).unwrap();
                assert_eq!(taken(std::str::from_utf8(&payload).unwrap()), (true, true));
            }
        }
    }

    #[test]
    fn what_the_sdk_refuses_is_refused() {
        const GOOD: &str = r#"{"specversion":"1.0","id":"a","type":"b","source":"c","subject":"d","datacontenttype":"application/json","time":"2027-01-15T08:00:00Z","data":{"x":[1,"\u00e9"]}}"#;
        let with = |from: &str, to: &str| {
            assert!(GOOD.contains(from), "{from}");
            GOOD.replacen(from, to, 1)
        };
        let both = (true, true);
        let neither = (false, false);
        let only_sdk = (true, false);
        let cases = [
            (GOOD.to_owned(), both),
            (format!(" \n{GOOD}\t"), both),
            (with(r#""d""#, r#""\u0064\n""#), both),
            (with(r#""subject":"d","#, ""), both),
            (with(r#""subject":"d""#, r#""subject":null"#), both),
            (with(r#""time":"2027-01-15T08:00:00Z","#, ""), both),
            (with(r#""datacontenttype":"application/json","#, ""), both),
            (with(r#""data":"#, r#""region":"eu","on":true,"n":-7,"gone":null,"data":"#), both),
            (with(r#""data":"#, r#""traceparent":7,"data":"#), both),
            (with(r#"{"x":[1,"\u00e9"]}"#, "null"), both),
            (with(r#"{"x":[1,"\u00e9"]}"#, r#""text""#), both),
            (String::new(), neither),
            ("nonsense".to_owned(), neither),
            ("[]".to_owned(), neither),
            ("{}".to_owned(), neither),
            (format!("{GOOD}{{}}"), neither),
            (GOOD[..GOOD.len() - 1].to_owned(), neither),
            (with(r#""1.0""#, r#""2.0""#), neither),
            (with(r#""1.0""#, "1.0"), neither),
            (with(r#""specversion":"1.0","#, ""), neither),
            (with(r#""id":"a","#, ""), neither),
            (with(r#""id":"a""#, r#""id":null"#), neither),
            (with(r#""id":"a""#, r#""id":7"#), neither),
            (with(r#""type":"b","#, ""), neither),
            (with(r#""source":"c","#, ""), neither),
            (with(r#""subject":"d""#, r#""subject":["d"]"#), neither),
            (with("2027-01-15T08:00:00Z", "2027-13-15T08:00:00Z"), neither),
            (with("2027-01-15T08:00:00Z", "yesterday"), neither),
            (with(r#""data":"#, r#""deep":{"x":1},"data":"#), neither),
            (with(r#""data":"#, r#""list":[1],"data":"#), neither),
            (with(r#""data":"#, r#""half":1.5,"data":"#), neither),
            (with(r#""data":"#, r#""much":9223372036854775808,"data":"#), neither),
            (with(r#""data":"#, r#""data_base64":"e30=","data":"#), neither),
            (with(r#"[1,"#, r#"[01,"#), neither),
            (with("\\u00e9", "\\u00g9"), neither),
            // Of another version, and read as such by the SDK.
            (with(r#""1.0""#, r#""0.3""#), only_sdk),
            (with(r#""id":"a""#, r#""id":"z","id":"a""#), only_sdk),
            (with(r#""data":{"x":[1,"\u00e9"]}"#, r#""data_base64":"e30=""#), only_sdk),
            (with(r#","data":{"x":[1,"\u00e9"]}"#, ""), only_sdk),
            (with("application/json", "text/json"), only_sdk),
            (with(r#""data":"#, r#""dataschema":"https://a/b","data":"#), only_sdk),
        ];
        for (payload, expected) in cases {
            assert_eq!(taken(&payload), expected, "{payload}");
        }
    }
}
