//! The HTTP client of JSON-RPC: HTTP/1.1 with TLS by rustls and ring. It follows no redirect and repeats no question.

use crate::rpc::url::RpcUrl;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::time::Duration;

/// Idle connections are closed after this time. Load balancers of providers close theirs after a minute or more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(55);

/// Unused connections that are kept for each provider. A burst opens more, which close behind it.
const IDLE_MAX: usize = 16;

/// A connection whose peer disappeared without a word is noticed by TCP keepalive, not by a call that waits.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A pool of connections to all providers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Http(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Http {
    /// Builds the client for `urls`. The machine's certificate authorities are read only if one of the URLs is https.
    ///
    /// # Errors
    /// The reason, without any URL.
    pub(crate) fn new(urls: &[RpcUrl]) -> Result<Self, String> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        let builder = HttpsConnectorBuilder::new();
        let builder = if urls.iter().any(RpcUrl::is_https) {
            let native = builder.with_provider_and_native_roots(ring::default_provider());
            native.map_err(|e| format!("the certificate authorities of this machine cannot be read: {e}"))?
        } else {
            let config = ClientConfig::builder_with_provider(ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .map_err(|e| e.to_string())?;
            builder.with_tls_config(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
        };
        let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Ok(Self(client))
    }

    /// Posts a JSON document.
    ///
    /// # Errors
    /// The whole chain of causes, without the URL, because its path may hold an API key.
    pub(crate) async fn post(&self, url: &RpcUrl, body: Vec<u8>) -> Result<Response<Incoming>, String> {
        let mut request = Request::post(url.uri().clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(credentials) = url.credentials() {
            request = request.header(AUTHORIZATION, credentials.clone());
        }
        let request = request.body(Full::new(body.into())).map_err(|e| causes(&e))?;
        self.0.request(request).await.map_err(|e| causes(&e))
    }
}

/// The whole chain of causes: the outermost error alone, "client error (Connect)", does not say why.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
