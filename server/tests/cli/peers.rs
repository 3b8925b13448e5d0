//! Other hubs: in the configuration, and what the running hub says of them.

use std::process::Output;

use crate::{Hub, config_file, dosp_server, stderr};

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn running_hub_shows_its_key_and_its_peers() {
    let folder = tempfile::tempdir().unwrap();
    let (state, socket) = (folder.path().join("state"), folder.path().join("hub.sock"));
    let (state, socket) = (state.to_str().unwrap(), socket.to_str().unwrap());
    let own = dosp_server::hub_key::load(folder.path(), &mut rand::rng()).unwrap();
    std::fs::create_dir(state).unwrap();
    std::fs::rename(folder.path().join("key"), format!("{state}/key")).unwrap();
    let file =
        config_file("[[peer]]\naddress = 'file'\nnetwork = '7.1.0.x'\nunauthenticated = true");
    let known = format!("=7.11.0.x,key={KEY},networks=10.8.0.0/16");
    let mut command = dosp_server(&["--listen", "127.0.0.1:0", "--state", state]);
    command.args(["--socket", socket, "--config", file.path().to_str().unwrap()]);
    command.args(["--peer", &known, "--peer", "[::1]:9=7.12.0.x,unauthenticated"]);
    let _hub = Hub::start(command.env("DOSP_PEERS", "env:7744:7.1.0.x"));

    let output = dosp_server(&["peers", "--socket", socket]).output().unwrap();
    let expected = format!(
        "key      {}\n\
         hub      7.10.0.1 of 7.10.0.0/24\n\
         peers    2\n\
         \n\
         hub  network      address  link     RTT  rx  tx  dropped\n\
         -    7.11.0.0/24  -        waiting  -    0   0   0\n\
         -    7.12.0.0/24  [::1]:9  waiting  -    0   0   0        UNAUTHENTICATED\n",
        own.public()
    );
    // The link with the second one is tried meanwhile: its line may say so, and the columns be wider.
    let words = stdout(&output);
    let first = |text: &str| {
        let lines = text.lines().take(6).map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines.map(|cells| cells.join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(first(&words), first(&expected));
    assert!(words.contains("UNAUTHENTICATED"), "{words}");

    let output = dosp_server(&["peers", "list", "--json", "--socket", socket]).output().unwrap();
    let peers: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(peers["schema"], "dosp.hub-peers/1");
    assert_eq!(peers["key"], own.public().to_string());
    assert_eq!(peers["peers"][0]["fingerprint"], "OLGW5-BBCYQ-D7W3I-JQ2IP");
    assert_eq!(peers["peers"][0]["authenticated"], true);
    assert_eq!(peers["peers"][1]["addr"], "[::1]:9");
    assert_eq!(peers["peers"][1]["authenticated"], false);
    assert_eq!(peers["peers"].as_array().unwrap().len(), 2, "options are above all else");
}

#[test]
fn environment_is_above_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("hub.sock");
    let socket = socket.to_str().unwrap();
    let file =
        config_file("[[peer]]\naddress = 'file'\nnetwork = '7.1.0.x'\nunauthenticated = true");
    let path = file.path().to_str().unwrap();
    let mut command = dosp_server(&["--listen", "127.0.0.1:0", "--socket", socket]);
    command.args(["--config", path]).env("DOSP_PEERS", "127.0.0.9:9:7.12.0.x");
    let _hub = Hub::start(&mut command);
    let words = stdout(&dosp_server(&["peers", "--socket", socket]).output().unwrap());
    assert!(words.starts_with("key      none: without a state folder"), "{words}");
    assert!(words.contains("7.12.0.0/24  127.0.0.9:9  ") && !words.contains("7.1.0.0"), "{words}");
}

#[test]
fn peers_that_cannot_be_are_a_configuration_error() {
    let overlapping = "[[peer]]\naddress = 'a'\nnetwork = '7.10.0.x'\nunauthenticated = true";
    let without_state = format!("[[peer]]\nnetwork = '7.11.0.x'\nkey = '{KEY}'");
    let compressed = format!("compression = true\n{}", overlapping.replace("7.10", "7.11"));
    for (text, expected) in [
        (
            overlapping,
            "dosp-server: the network 7.10.0.0/24 of a peer overlaps this hub's own, 7.10.0.0/24\n\
             hint: hubs that are linked need networks apart: ",
        ),
        (
            &without_state,
            "dosp-server: the peer 7.11.0.0/24 needs 'state': this hub proves itself by the key in that folder\n\
             hint: 'dosp-server init' makes one, or give --state\n",
        ),
        (
            &compressed,
            "dosp-server: 'peer' and 'compression' exclude each other\n\
             hint: leave 'compression' out: a hub that compresses cannot be linked with others\n",
        ),
    ] {
        let file = config_file(text);
        let path = file.path().to_str().unwrap();
        for args in [["check", path], ["--config", path]] {
            let output = dosp_server(&args).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
            assert!(stderr(&output).starts_with(expected), "{}", stderr(&output));
        }
    }
}
