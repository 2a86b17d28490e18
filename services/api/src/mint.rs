//! `POST /api/mint/{token}`: the offer, and the 202 for a client that pays it.
//!
//! The price is the token's unit price times the quantity of the body, and the payee is the token. Nothing that the
//! payer sends changes either. A paid request is recorded in the ledger before it is answered.
#![allow(unused_qualifications)] // utoipa::path writes one per `IntoParams`

use crate::address::address;
use crate::body::{self, BadBody};
use crate::error::{Problem, json_response};
use crate::idempotency;
use crate::intake::Names;
use crate::openapi::{MintProblems, schemas};
use crate::state::Api;
use alloy_primitives::Address;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::header::{CONTENT_ENCODING, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use domain::request::Inconsistent;
use domain::{
    Authorization, PaymentId, PaymentKey, PaymentRequest, Purchase, Quantity, RequestFields, SignatureBytes, Usdc,
};
use edge::{ClientIp, traceparent};
use live::Sold;
use runtime::VALIDITY_MAX_S;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use utoipa::{IntoParams, ToSchema};
use x402::{Offer, Payment, PaymentRejection, decode, one_header, payment_key, verify, verify_signature};

/// Longest body that is read, bytes. An order needs 20.
pub(crate) const BODY_MAX: usize = 64 * 1024;

const PAYMENT_SIGNATURE: HeaderName = HeaderName::from_static("payment-signature");
const X_PAYMENT: HeaderName = HeaderName::from_static("x-payment");

/// The requested purchase, with its price.
struct Wanted {
    sold: Arc<Sold>,
    quantity: Quantity,
    value: Usdc,
}

/// The body of the 202.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    #[schema(value_type = schemas::PaymentId)]
    payment_queue_id: PaymentId,
    #[schema(value_type = schemas::Quantity)]
    quantity: Quantity,
    #[schema(pattern = "^payment_pending$")]
    status: &'static str,
    #[schema(value_type = schemas::Address)]
    token: Address,
    #[schema(value_type = schemas::Address)]
    payer: Address,
    #[schema(value_type = schemas::Usdc)]
    value: Usdc,
    #[schema(format = "uri")]
    status_url: String,
    #[schema(format = "uri")]
    queue_url: String,
    #[schema(format = "uri")]
    events_url: String,
}

/// Headers that pay for and name a request. Send one of the payment headers, or none to get an offer.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
struct PaymentHeaders {
    /// The payment, x402 v2: JSON in standard base64, at most 16 KiB.
    #[param(rename = "PAYMENT-SIGNATURE", nullable = false, max_length = 16384, pattern = "^[A-Za-z0-9+/]+={0,2}$")]
    payment_signature: Option<String>,
    /// The payment, x402 v1: JSON in standard base64, at most 16 KiB.
    #[param(rename = "X-PAYMENT", nullable = false, max_length = 16384, pattern = "^[A-Za-z0-9+/]+={0,2}$")]
    x_payment: Option<String>,
    /// A name for this purchase that the application chooses: 1 to 128 visible ASCII characters. A second payment of
    /// the same payer under this name is not accepted. It gets the id of the first, or 409 if it is another purchase.
    #[param(
        rename = "Idempotency-Key",
        nullable = false,
        min_length = 1,
        max_length = 128,
        pattern = r"^[!#-\[\]-~]+$",
        example = "8e03978e-40d5-43e8-bc93-6894a57f9324"
    )]
    idempotency_key: Option<String>,
    /// W3C trace context. A new one is made if it is absent or malformed.
    #[param(
        rename = "traceparent",
        nullable = false,
        example = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    )]
    traceparent: Option<String>,
}

/// Answers 402 with the offer, or 202 once the order is in the ledger.
#[utoipa::path(
    post,
    path = "/api/mint/{token}",
    tag = "orders",
    operation_id = "mint",
    summary = "Buy units of a token",
    description = "Without a payment it answers 402 with the offer; with one, 202 as soon as the order is on disk. The \
        same payment sent again gets the same id, for ever; so does another payment under the same `Idempotency-Key`.",
    params(("token" = schemas::AnyAddress, Path, description = "The token to buy."), PaymentHeaders),
    request_body(content = Body, description = "Read as JSON whatever its Content-Type; other keys are ignored.",
        content_type = "application/json", example = json!({ "quantity": 10 })),
    responses(
        (status = 202, description = "The order is durably written; payment and mint follow.", body = Accepted,
            headers(("Location" = String, description = "`/api/payment/{id}`."))),
        MintProblems,
    ),
)]
pub(crate) async fn mint(
    State(api): State<Arc<Api>>,
    Extension(client): Extension<ClientIp>,
    token: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let token = token.ok().and_then(|Path(text)| address(&text)).ok_or(Problem::TokenUnknown)?;
    let (headers, request) = without_headers(request);
    let sold = api.catalogue.get(token).await?;
    let wanted = Wanted::new(sold, quantity(&headers, request, api.config.body_timeout).await?)?;
    let offer = api.offer(&wanted);
    let decline = |rejection| match rejection {
        // A payer must not be asked to sign a payment that would not be accepted.
        PaymentRejection::PaymentRequired => {
            let open = api.admission.open_for(&wanted.sold.terms, wanted.quantity).map_err(Problem::NotAdmitted);
            let open = open.and_then(|()| api.intake.may_write(client).map_err(Problem::from));
            open.map_or_else(|refusal| refusal, |()| Problem::of_payment(rejection, &offer))
        }
        _ => Problem::of_payment(rejection, &offer),
    };

    let sent = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let (name, value) = one_header(sent(PAYMENT_SIGNATURE), sent(X_PAYMENT)).map_err(decline)?;
    let key = idempotency::header(&headers)?;
    let payment = decode(name, value).map_err(decline)?;
    api.intake.pass(api.id_of(&payment), &wanted.sold.terms)?;
    let keys = idempotency::keys(payment.authorization.from, key, payment.payment_identifier.as_deref());
    let names = Names { keys, trace: traceparent(&headers), client };
    let now_s = now_s();
    let id = match verify(&payment, &offer, now_s, api.settings().payment_margin_s, VALIDITY_MAX_S) {
        Ok(verified) => {
            let fields = api.request(&wanted, verified.authorization, verified.signature);
            let request = PaymentRequest::new(fields).map_err(|e| match e {
                Inconsistent::Nonce => decline(PaymentRejection::NonceBoundElsewhere),
                Inconsistent::Key | Inconsistent::Payee | Inconsistent::Price => {
                    tracing::error!(error = %e, "a verified request contradicts itself");
                    Problem::Internal
                }
            })?;
            api.intake.accept(&request, &names, &wanted.sold.terms, now_s).await?
        }
        Err(rejection) if may_be_known(rejection) => match api.signed_order(&wanted, &payment) {
            Some(request) => {
                let known = api.intake.accepted_ever(&request, &names).await?;
                known.ok_or_else(|| decline(rejection))?
            }
            None => return Err(decline(rejection)),
        },
        Err(rejection) => return Err(decline(rejection)),
    };
    api.accepted(id, &wanted, payment.authorization.from)
}

/// Returns `true` for rejections that an accepted payment can meet when it comes again, because its window has closed
/// or the order beside it differs. The answer to such a payment must be the same 202, or a 409. A 402 would make its
/// payer pay twice.
fn may_be_known(rejection: PaymentRejection) -> bool {
    matches!(
        rejection,
        PaymentRejection::ExpiresTooSoon { .. }
            | PaymentRejection::RecipientMismatch
            | PaymentRejection::ValueMismatch(_)
            | PaymentRejection::NoMatchingRequirements("amount" | "payTo")
    )
}

impl Wanted {
    fn new(sold: Arc<Sold>, quantity: Quantity) -> Result<Self, Problem> {
        let value = sold.terms.unit_price.times(quantity).ok_or(Problem::QuantityTooLarge)?;
        if u64::from(quantity.get()) > sold.terms.max_units {
            return Err(Problem::QuantityTooLarge);
        }
        Ok(Self { sold, quantity, value })
    }
}

impl Api {
    fn offer(&self, wanted: &Wanted) -> Offer {
        let terms = &wanted.sold.terms;
        Offer {
            network: self.config.network,
            asset: self.config.asset,
            asset_name: self.config.asset_name.clone(),
            asset_version: self.config.asset_version.clone(),
            pay_to: terms.token,
            amount: wanted.value.0,
            max_timeout_s: self.settings().payment_validity_s,
            resource_url: format!("{}/api/mint/{}", self.public_url, terms.token),
            description: format!("{} x {}", wanted.quantity, terms.symbol),
            mime_type: "application/json".to_owned(),
            payment_identifier: true,
        }
    }

    /// The id under which this payment is, or would be, known.
    fn id_of(&self, payment: &Payment) -> PaymentId {
        let sent = &payment.authorization;
        let key = payment_key(self.config.network.chain_id, self.config.asset, sent.from, sent.nonce);
        PaymentId::of(PaymentKey(key))
    }

    /// The order that this authorization pays for.
    fn request(&self, wanted: &Wanted, authorization: Authorization, signature: [u8; 65]) -> RequestFields {
        let (chain_id, asset) = (self.config.network.chain_id, self.config.asset);
        let terms = &wanted.sold.terms;
        RequestFields {
            payment_key: PaymentKey(payment_key(chain_id, asset, authorization.from, authorization.nonce)),
            chain_id,
            asset,
            authorization,
            signature: SignatureBytes::new(signature),
            purchase: Purchase::Mint { token: terms.token, quantity: wanted.quantity, unit_price: terms.unit_price },
        }
    }

    /// Builds the order for a payment that does not match the offer, if the payer's signature is valid. Without a valid
    /// signature no client may ask about it.
    fn signed_order(&self, wanted: &Wanted, payment: &Payment) -> Option<RequestFields> {
        let sent = &payment.authorization;
        let signature = verify_signature(&self.domain_separator, sent, &payment.signature).ok()?;
        Some(self.request(wanted, sent.clone(), signature))
    }

    /// The 202 answer. It has no settlement header, which clients would read as settled or as failed.
    fn accepted(&self, id: PaymentId, wanted: &Wanted, payer: Address) -> Result<Response, Problem> {
        let body = Accepted {
            payment_queue_id: id,
            quantity: wanted.quantity,
            status: "payment_pending",
            token: wanted.sold.terms.token,
            payer,
            value: wanted.value,
            status_url: format!("{}/api/payment/{id}", self.public_url),
            queue_url: format!("{}/api/queue/{id}", self.public_url),
            events_url: format!("{}/api/events?payment={id}", self.public_url),
        };
        let mut response = json_response(StatusCode::ACCEPTED, &body, "application/json");
        let location = HeaderValue::try_from(format!("/api/payment/{id}")).map_err(|_| Problem::Internal)?;
        response.headers_mut().insert(LOCATION, location);
        Ok(response)
    }
}

fn without_headers(request: Request) -> (HeaderMap, Request) {
    let (mut head, body) = request.into_parts();
    let headers = std::mem::take(&mut head.headers);
    (headers, Request::from_parts(head, body))
}

/// The purchase.
#[derive(ToSchema)]
#[allow(dead_code)]
struct Body {
    #[schema(value_type = schemas::Quantity)]
    quantity: Option<Quantity>,
}

/// The quantity of the body, whatever its Content-Type: x402-fetch 1.x sends its paid retry as text.
async fn quantity(headers: &HeaderMap, request: Request, timeout: Duration) -> Result<Quantity, Problem> {
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Problem::BodyEncoded);
    }
    let body = tokio::time::timeout(timeout, Bytes::from_request(request, &()))
        .await
        .map_err(|_| Problem::BodyTooSlow)?
        .map_err(|e| match e.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::BodyTooLarge,
            _ => Problem::BodyMalformed,
        })?;
    body::quantity(&body).map_err(|bad| match bad {
        BadBody::Malformed => Problem::BodyMalformed,
        BadBody::Quantity => Problem::QuantityInvalid,
    })
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
