//! A provider behind https is asked only if an authority of this machine has signed its certificate.

use chain::{Chain, ChainConfig};
use runtime::Env;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::process::{Command, Output};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const CERTIFICATE: &[u8] = include_bytes!("tls/server.pem");
const KEY: &[u8] = include_bytes!("tls/server.key");
/// The authority that signed [`CERTIFICATE`].
const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/ca.pem");

/// Serves chain 1 over TLS, one answer for each connection.
async fn node(listener: TcpListener) {
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()],
            PrivateKeyDer::from_pem_slice(KEY).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // A client that does not know the authority ends the handshake.
        let Ok(mut stream) = acceptor.accept(stream).await else { continue };
        let (mut request, mut length) = (vec![0; 4096], 0);
        while !request[..length].ends_with(b"}") {
            length += stream.read(&mut request[length..]).await.unwrap();
        }
        let text = String::from_utf8_lossy(&request[..length]).into_owned();
        let id = text.split_once("\"id\":").unwrap().1.split([',', '}']).next().unwrap();
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"0x1"}}"#);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
        let _ = stream.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

/// Connects to the node in a process of its own, because the authorities come from the environment.
fn connect(url: &str, authority: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::client", "--ignored", "--nocapture"])
        .env("TLS_TEST_URL", url)
        .env("SSL_CERT_FILE", authority)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_over_https_is_asked_only_if_its_certificate_is_known() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/s3cret-key", listener.local_addr().unwrap().port());
    tokio::spawn(node(listener));
    let dir = tempfile::tempdir().unwrap();
    // A certificate that signed nothing stands for an authority that does not know the server.
    let other = dir.path().join("other.pem");
    std::fs::write(&other, CERTIFICATE).unwrap();
    let (known, unknown) = tokio::task::spawn_blocking({
        let (url, other) = (url.clone(), other.to_str().unwrap().to_owned());
        move || (connect(&url, AUTHORITY), connect(&url, &other))
    })
    .await
    .unwrap();
    let (known, unknown) = (text(&known), text(&unknown));
    assert!(known.contains("Misconfigured") && known.contains("CHAIN_ID"), "it was asked for its chain: {known}");
    assert!(unknown.contains("Transient") && unknown.contains("certificate"), "{unknown}");
    assert!(!known.contains("s3cret") && !unknown.contains("s3cret"), "{known} {unknown}");
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
#[ignore = "run by a_provider_over_https_is_asked_only_if_its_certificate_is_known"]
#[allow(clippy::print_stdout)]
async fn client() {
    let env = Env::of([
        ("RPC_URL", std::env::var("TLS_TEST_URL").unwrap().as_str()),
        ("CHAIN_ID", "84532"),
        ("ASSET_ADDRESS", "0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
        ("ASSET_NAME", "USDC"),
        ("ASSET_VERSION", "2"),
    ]);
    println!("{:?}", Chain::connect(ChainConfig::from_env(&env).unwrap()).await.unwrap_err());
}
