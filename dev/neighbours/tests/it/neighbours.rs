//! Each server: side by side, restarted, on a taken port, without its parent.

use neighbours::{Anvil, AnvilOptions, Mining, Nats, NatsOptions, NeighbourError, Postgres, PostgresOptions, Tools};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

fn nats_options(dir: &Path) -> NatsOptions {
    NatsOptions { data_dir: dir.join("nats"), ..NatsOptions::default() }
}

fn postgres_options(dir: &Path) -> PostgresOptions {
    PostgresOptions { data_dir: dir.join("postgres"), durable: false, ..PostgresOptions::default() }
}

fn anvil_options(dir: &Path) -> AnvilOptions {
    AnvilOptions { data_dir: dir.join("anvil"), block_time: Mining::Manual, ..AnvilOptions::default() }
}

fn setting() -> (Tools, TempDir) {
    (Tools::locate().unwrap(), tempfile::tempdir().unwrap())
}

/// A setting like a clone below `/root`: root's PostgreSQL, which runs as another account, cannot enter it.
fn private_setting() -> (Tools, TempDir) {
    let (tools, dir) = setting();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    (tools, dir)
}

/// One HTTP exchange by hand; `url` is `http://127.0.0.1:<port>`.
fn http(url: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn rpc(anvil: &Anvil, method: &str, params: &str) -> String {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    http(&anvil.rpc_url(), "POST", "/", &body)
}

fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

fn becomes(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "still not: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn two_nats_servers_run_side_by_side_and_sync_always() {
    let (tools, (one, two)) = (Tools::locate().unwrap(), (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()));
    let one = Nats::start(&tools, nats_options(one.path())).await.unwrap();
    let two = Nats::start(&tools, nats_options(two.path())).await.unwrap();
    assert_ne!(one.url(), two.url());
    for nats in [&one, &two] {
        let varz = http(&nats.monitor_url(), "GET", "/varz", "");
        assert!(varz.contains("\"sync_always\": true") && varz.contains("\"max_payload\": 1048576"), "{varz}");
    }
}

/// Speaks the client protocol: one request, its answer.
fn nats_request(nats: &Nats, subject: &str, payload: &str) -> String {
    let mut stream = TcpStream::connect(nats.url().strip_prefix("nats://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(
        stream,
        "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\nPUB {subject} answer {}\r\n{payload}\r\n",
        payload.len()
    )
    .unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.find(|line| line.starts_with("MSG answer")).unwrap();
    lines.next().unwrap()
}

#[tokio::test]
async fn nats_keeps_its_streams_across_a_restart_and_a_kill() {
    let (tools, dir) = setting();
    let mut nats = Nats::start(&tools, nats_options(dir.path())).await.unwrap();
    let (url, pid) = (nats.url(), nats.pid().unwrap());
    nats_request(&nats, "$JS.API.STREAM.CREATE.KEPT", r#"{"name":"KEPT","subjects":["kept.>"],"storage":"file"}"#);
    assert!(nats_request(&nats, "kept.1", "first").contains("\"seq\":1"));
    nats.restart().await.unwrap();
    assert!(!alive(pid), "the first one is gone");
    assert!(nats_request(&nats, "kept.2", "second").contains("\"seq\":2"));
    nats.kill();
    assert_eq!(nats.pid(), None);
    nats.restart().await.unwrap();
    assert!(nats_request(&nats, "kept.3", "third").contains("\"seq\":3"));
    assert_eq!(nats.url(), url);
    nats.stop().await.unwrap();
    assert_eq!(nats.pid(), None);
}

#[tokio::test]
async fn a_nats_config_of_ones_own_is_used_and_must_sync_always() {
    let (tools, dir) = setting();
    let config = dir.path().join("own.conf");
    let options = NatsOptions {
        config: Some(config.clone()),
        environment: vec![("OWN_PASSWORD".into(), "word".into())],
        ..nats_options(dir.path())
    };
    let text = "server_name: own\nport: 1\nauthorization { user: a, password: $OWN_PASSWORD }\njetstream {";
    std::fs::write(&config, format!("{text} }}")).unwrap();
    let refused = Nats::start(&tools, options.clone()).await.err().unwrap().to_string();
    assert!(refused.contains("sync_interval: always"), "{refused}");
    std::fs::write(&config, format!("{text} sync_interval: always }}")).unwrap();
    let nats = Nats::start(&tools, options).await.unwrap();
    let varz = http(&nats.monitor_url(), "GET", "/varz", "");
    assert!(varz.contains("\"server_name\": \"own\"") && varz.contains("\"auth_required\": true"), "{varz}");
    assert!(dir.path().join("nats/store/jetstream").exists());
}

#[tokio::test]
async fn two_postgres_run_side_by_side_and_ask_for_a_password() {
    let (tools, one, two) = (Tools::locate().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (options_one, options_two) = (postgres_options(one.path()), postgres_options(two.path()));
    let (one, two) = tokio::join!(Postgres::start(&tools, options_one), Postgres::start(&tools, options_two));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.port(), two.port());
    assert!(one.url().starts_with("postgres://paymint:") && one.url().ends_with("/paymint"));
}

/// The program of a running server: for root it may be a copy of the fetched one.
fn program(pid: Option<u32>, tools: &Tools) -> PathBuf {
    let running = std::fs::read_link(format!("/proc/{}/exe", pid.unwrap()));
    running.unwrap_or_else(|_| tools.postgres_bin().join("postgres"))
}

/// Runs SQL in single-user mode of the stopped server: no client is needed. Answers what it printed.
fn single_user(program: &Path, dir: &Path, sql: &str) -> String {
    use std::os::unix::{fs::MetadataExt, process::CommandExt};
    let pgdata = dir.join("postgres/pgdata").canonicalize().unwrap();
    let owner = std::fs::metadata(&pgdata).unwrap();
    let mut command = Command::new(program);
    command
        .args(["--single", "-D"])
        .arg(pgdata)
        .arg("paymint")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if nix::unistd::geteuid().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[tokio::test]
async fn postgres_keeps_its_rows_across_a_restart_and_a_kill() {
    let (tools, dir) = setting();
    let mut postgres = Postgres::start(&tools, postgres_options(dir.path())).await.unwrap();
    let (url, program) = (postgres.url(), program(postgres.pid(), &tools));
    postgres.stop().await.unwrap();
    single_user(&program, dir.path(), "CREATE TABLE kept (word text)\nINSERT INTO kept VALUES ('remembered')\n");
    postgres.restart().await.unwrap();
    postgres.kill();
    postgres.restart().await.unwrap();
    assert_eq!(postgres.url(), url);
    postgres.stop().await.unwrap();
    let rows = single_user(&program, dir.path(), "SELECT word FROM kept\nSHOW data_checksums\nSHOW server_encoding\n");
    for expected in ["remembered", "data_checksums = \"on\"", "server_encoding = \"UTF8\""] {
        assert!(rows.contains(expected), "{rows}");
    }
}

#[tokio::test]
async fn a_started_again_postgres_has_the_same_cluster_and_one_at_a_time() {
    let (tools, dir) = private_setting();
    let options = PostgresOptions { durable: true, ..postgres_options(dir.path()) };
    let first = Postgres::start(&tools, options.clone()).await.unwrap();
    let password = |postgres: &Postgres| postgres.url().split('@').next().unwrap().to_owned();
    let kept = password(&first);
    let in_use = Postgres::start(&tools, options.clone()).await.err().unwrap();
    assert!(matches!(in_use, NeighbourError::InUse { .. }), "{in_use}");
    drop(first);
    assert_eq!(password(&Postgres::start(&tools, options).await.unwrap()), kept);
    if let Ok(elsewhere) = std::fs::read_link(dir.path().join("postgres/pgdata")) {
        std::fs::remove_dir_all(elsewhere).unwrap(); // as root; a durable cluster is not ours to remove otherwise
    }
}

#[tokio::test]
async fn two_anvils_run_side_by_side_on_the_wanted_chain() {
    let (tools, one, two) = (Tools::locate().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = Anvil::start(&tools, anvil_options(one.path())).await.unwrap();
    let interval = Mining::Interval(Duration::from_millis(200));
    let two = AnvilOptions { chain_id: 31_337, block_time: interval, accounts: 3, ..anvil_options(two.path()) };
    let two = Anvil::start(&tools, two).await.unwrap();
    assert!(rpc(&one, "eth_chainId", "[]").contains("0x14a34"));
    assert!(rpc(&two, "eth_chainId", "[]").contains("0x7a69"));
    assert_eq!(rpc(&two, "eth_accounts", "[]").matches("\"0x").count(), 3);
    assert!(rpc(&one, "eth_blockNumber", "[]").contains("\"0x0\""));
    becomes("a block", || !rpc(&two, "eth_blockNumber", "[]").contains("\"0x0\""));
    assert!(rpc(&one, "eth_getBlockByNumber", r#"["latest",false]"#).contains("\"gasLimit\":\"0x17d78400\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn anvil_makes_blocks_and_keeps_as_few_states_as_it_is_told_also_after_a_restart() {
    let (tools, dir) = setting();
    let block_time = Mining::Asked(Duration::from_millis(100));
    let options = AnvilOptions { block_time, states_kept: Some(4), ..anvil_options(dir.path()) };
    let mut anvil = Anvil::start(&tools, options).await.unwrap();
    for _ in 0..2 {
        becomes("a block", || !rpc(&anvil, "eth_blockNumber", "[]").contains("\"0x0\""));
        (0..20).for_each(|_| _ = rpc(&anvil, "evm_mine", "[]"));
        let nobody = "0x0000000000000000000000000000000000000abc";
        let balance = |block: &str| rpc(&anvil, "eth_getBalance", &format!(r#"["{nobody}","{block}"]"#));
        assert!(balance("0x1").contains("BlockOutOfRange"), "{}", balance("0x1"));
        assert!(balance("latest").contains("result"));
        anvil.restart().await.unwrap();
    }
}

#[tokio::test]
async fn anvil_keeps_its_chain_across_a_restart_and_a_drop() {
    let (tools, dir) = setting();
    let options = AnvilOptions { state_file: Some(dir.path().join("chain.json")), ..anvil_options(dir.path()) };
    let mut anvil = Anvil::start(&tools, options.clone()).await.unwrap();
    let url = anvil.rpc_url();
    let account = "0x00000000000000000000000000000000000000aa";
    rpc(&anvil, "anvil_setBalance", &format!(r#"["{account}","0x7"]"#));
    rpc(&anvil, "evm_mine", "[]");
    rpc(&anvil, "evm_mine", "[]");
    anvil.restart().await.unwrap();
    assert_eq!(anvil.rpc_url(), url);
    assert!(rpc(&anvil, "eth_blockNumber", "[]").contains("\"0x2\""));
    assert!(rpc(&anvil, "eth_getBalance", &format!(r#"["{account}","latest"]"#)).contains("\"0x7\""));
    drop(anvil);
    let again = Anvil::start(&tools, options).await.unwrap();
    assert!(rpc(&again, "eth_blockNumber", "[]").contains("\"0x2\""));
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_variable_that_changes_it() {
    let (tools, dir) = setting();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().port();
    let port = Some(taken);
    let nats = Nats::start(&tools, NatsOptions { port, ..nats_options(dir.path()) }).await.err().unwrap();
    let options = NatsOptions { monitor_port: port, monitor_port_variable: "MONITOR", ..nats_options(dir.path()) };
    let monitor = Nats::start(&tools, options).await.err().unwrap();
    let postgres =
        Postgres::start(&tools, PostgresOptions { port, ..postgres_options(dir.path()) }).await.err().unwrap();
    let options = AnvilOptions { port, port_variable: "MY_CHAIN_PORT", ..anvil_options(dir.path()) };
    let anvil = Anvil::start(&tools, options).await.err().unwrap();
    let expected = [
        (nats, "PAYMINT_NATS_PORT"),
        (monitor, "MONITOR"),
        (postgres, "PAYMINT_POSTGRES_PORT"),
        (anvil, "MY_CHAIN_PORT"),
    ];
    for (error, variable) in expected {
        let text = error.to_string();
        assert!(text.contains(&taken.to_string()) && text.contains(variable), "{text}");
    }
}

#[tokio::test]
async fn what_a_server_wrote_is_part_of_the_error_when_it_does_not_start() {
    let (tools, dir) = setting();
    let options = AnvilOptions { arguments: vec!["--no-such-flag".into()], ..anvil_options(dir.path()) };
    let error = Anvil::start(&tools, options).await.err().unwrap().to_string();
    assert!(error.contains("--no-such-flag") && error.contains("anvil.log"), "{error}");
    let config = dir.path().join("broken.conf");
    std::fs::write(&config, "no_such_key: 1").unwrap();
    let options = NatsOptions { config: Some(config), ..nats_options(dir.path()) };
    let error = Nats::start(&tools, options).await.err().unwrap().to_string();
    assert!(error.contains("no_such_key"), "{error}");
}

#[tokio::test]
async fn a_server_that_ends_unasked_is_told_of() {
    let (tools, dir) = setting();
    let mut nats = Nats::start(&tools, nats_options(dir.path())).await.unwrap();
    let pid = nix::unistd::Pid::from_raw(nats.pid().unwrap().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let error = nats.ended().await;
    assert!(matches!(error, NeighbourError::Ended { .. }), "{error}");
    nats.restart().await.unwrap();
    assert!(nats.pid().is_some());
}

#[tokio::test]
async fn dropped_servers_are_gone() {
    let (tools, dir) = private_setting();
    let mut nats = Nats::start(&tools, nats_options(dir.path())).await.unwrap();
    let mut postgres = Postgres::start(&tools, postgres_options(dir.path())).await.unwrap();
    let mut anvil = Anvil::start(&tools, anvil_options(dir.path())).await.unwrap();
    let pids = [nats.pid(), postgres.pid(), anvil.pid()].map(Option::unwrap);
    let cluster = std::fs::read_link(dir.path().join("postgres/pgdata"));
    drop((nats, postgres, anvil));
    assert!(!pids.into_iter().any(alive));
    assert!(cluster.is_err() || !cluster.unwrap().exists(), "a throwaway cluster of root goes as well");
}

/// Not a test: what the next one runs in a process of its own, and kills.
#[tokio::test]
#[ignore = "run by no_server_survives_a_killed_parent"]
async fn parent_that_waits() {
    let Some(dir) = std::env::var_os("NEIGHBOURS_TEST_DIR") else { return };
    let (tools, dir) = (Tools::locate().unwrap(), Path::new(&dir));
    let mut nats = Nats::start(&tools, nats_options(dir)).await.unwrap();
    let mut postgres = Postgres::start(&tools, postgres_options(dir)).await.unwrap();
    let kept = AnvilOptions { state_file: Some(dir.join("chain.json")), ..anvil_options(dir) };
    let mut anvil = Anvil::start(&tools, kept).await.unwrap();
    let pids = [nats.pid(), postgres.pid(), anvil.pid()].map(Option::unwrap);
    std::fs::write(dir.join("pids.new"), pids.map(|pid| pid.to_string()).join(" ")).unwrap();
    std::fs::rename(dir.join("pids.new"), dir.join("pids")).unwrap();
    std::future::pending::<()>().await;
}

#[test]
#[cfg(target_os = "linux")]
fn no_server_survives_a_killed_parent() {
    let dir = tempfile::tempdir().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "neighbours::parent_that_waits", "--ignored", "--nocapture"])
        .env("NEIGHBOURS_TEST_DIR", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    becomes("started", || dir.path().join("pids").exists());
    let pids: Vec<u32> =
        std::fs::read_to_string(dir.path().join("pids")).unwrap().split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.len() == 3 && pids.iter().copied().all(alive));
    parent.kill().unwrap();
    parent.wait().unwrap();
    becomes("all gone", || !pids.iter().copied().any(alive));
    assert!(dir.path().join("chain.json").exists(), "anvil wrote its chain on the way out");
}
