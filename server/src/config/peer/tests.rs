use super::*;

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const OTHER_KEY: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn peers(texts: &[&str]) -> Vec<PeerConfig> {
    texts.iter().map(|text| parse_peer(&text.replace("KEY", KEY)).unwrap()).collect()
}

#[test]
fn peer_on_the_command_line_is_read() {
    let text = format!("hub.example=7.11.0.{{x}},key={KEY},networks=7.12.0.x+10.8.0.0/16");
    let expected = PeerConfig {
        addr: Some("hub.example:7744".to_owned()),
        network: network("7.11.0.0/24"),
        key: Some(PublicKey::from([1; 32])),
        networks: vec![network("7.12.0.0/24"), network("10.8.0.0/16")],
        unauthenticated: false,
    };
    assert_eq!(parse_peer(&text), Ok(expected));

    let [dialled, published, waits_for] = &*peers(&[
        "[2001:db8::1]:80=7.11.0.x,key=KEY",
        "192.0.2.7=7.11.0.x,unauthenticated",
        "=7.11.0.x,key=KEY",
    ]) else {
        panic!()
    };
    assert_eq!(dialled.addr.as_deref(), Some("[2001:db8::1]:80"));
    assert_eq!(published.addr.as_deref(), Some("192.0.2.7:7744"));
    assert_eq!((published.key, published.unauthenticated), (None, true));
    assert_eq!((&waits_for.addr, waits_for.key), (&None, dialled.key));
}

#[test]
fn bad_peer_on_the_command_line_is_refused_with_the_reason() {
    for (text, expected, hint) in [
        ("hub.example", "'hub.example' is no peer: it names no network", "=7.11.0.{x}"),
        ("a b=7.11.0.x", "'a b' is no host or host:port", "hub.example"),
        ("::1=7.11.0.x", "'::1' is no host or host:port", "[2001:db8::1]:7744"),
        ("hub:0=7.11.0.x", "'hub:0' is no host or host:port", "hub.example"),
        ("hub=7.11.0.5", "'7.11.0.5' is no network", "7.11.0.{x}"),
        ("hub=", "'' is no network", "7.11.0.{x}"),
        ("hub=7.11.0.x,key=", "'' is not a public key", "'dosp-server peers'"),
        ("hub=7.11.0.x,key=OLGW5-BBCYQ-D7W3I-JQ2IP", "'OLGW5-BBCYQ", "a fingerprint is too short"),
        ("hub=7.11.0.x,key=KEY,networks=7.12", "'7.12' is no network", "10.8.0.0/16"),
        ("hub=7.11.0.x,key=KEY,networks=", "'' is no network", "10.8.0.0/16"),
        ("hub=7.11.0.x,kye=KEY", "'kye=", "key=KEY, networks="),
        (
            "hub=7.11.0.x,unauthenticated=no",
            "'unauthenticated=no' means nothing",
            "what can follow",
        ),
        ("hub=7.11.0.x,unauthenticated=", "'unauthenticated=' means nothing", "what can follow"),
        ("hub=7.11.0.x,", "'' means nothing", "what can follow"),
        ("hub=7.11.0.x,key=KEY,key=KEY", "'key' is said twice", "networks="),
        ("=7.11.0.x", "a peer without address and key: how would the hub know it?", "give the key"),
        ("=7.11.0.x,unauthenticated", "an unauthenticated peer is known by its address", "address"),
        ("hub=7.11.0.x,unauthenticated,key=KEY", "a peer has a key or is unauth", "keep the key"),
    ] {
        let error = parse_peer(&text.replace("KEY", KEY)).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{text}: {error}");
        assert!(error.hint().contains(hint), "{text}: {}", error.hint());
    }
}

#[test]
fn variable_of_published_hubs_is_read_as_they_read_it() {
    let peers =
        parse_peers_variable(" 10.0.0.50:7744:7.11.0.x, hub.example:80:66.11.5.{x} ,,").unwrap();
    let shown: Vec<_> = peers
        .iter()
        .map(|peer| (peer.addr.as_deref().unwrap(), peer.network.to_string()))
        .collect();
    let expected = [("10.0.0.50:7744", "7.11.0.0/24"), ("hub.example:80", "66.11.5.0/24")];
    assert_eq!(shown, expected.map(|(addr, network)| (addr, network.to_owned())));
    assert!(peers.iter().all(|peer| peer.unauthenticated && peer.key.is_none()));
    for text in ["hub", "hub:7744", "hub:7.11.0.x", ":7744:7.11.0.x", "[::1]:7744:7.11.0.x"] {
        let error = parse_peers_variable(text).unwrap_err();
        assert!(error.to_string().starts_with(&format!("'{text}' is no peer")), "{error}");
        assert!(error.hint().contains("--peer"), "{}", error.hint());
    }
    for text in ["hub:x:7.11.0.x", "::1:7744:7.11.0.x", "hub:7744:7.11", "a:1:7.11.0.x,b"] {
        assert!(parse_peers_variable(text).is_err(), "{text}");
    }
}

#[test]
fn peers_that_exclude_each_other_are_refused() {
    for (texts, expected, hint) in [
        (
            ["a=7.10.0.0/16,key=KEY", "b=7.12.0.x,unauthenticated"],
            "the network 7.10.0.0/16 of a peer overlaps this hub's own, 7.10.0.0/24",
            "'network' moves this one",
        ),
        (
            ["a=7.11.0.0/16,key=KEY", "b=7.11.5.x,unauthenticated"],
            "the networks 7.11.0.0/16 and 7.11.5.0/24 of two peers overlap",
            "its operator the peer",
        ),
        (
            ["Hub.example=7.11.0.x,key=KEY", "hub.example:7744=7.12.0.x,unauthenticated"],
            "the peers 7.11.0.0/24 and 7.12.0.0/24 have the same address, Hub.example:7744",
            "'networks'",
        ),
        (
            ["a=7.11.0.x,key=KEY", "=7.12.0.x,key=KEY"],
            "the peers 7.11.0.0/24 and 7.12.0.0/24 have the same key, OLGW5-BBCYQ-D7W3I-JQ2IP",
            "'networks'",
        ),
    ] {
        let error = check_all(&peers(&texts), Network::DEFAULT, true).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().contains(hint), "{}", error.hint());
    }
    let no_clash = [
        "a=7.11.0.x,key=KEY,networks=7.0.0.0/8",
        &format!("=7.12.0.x,key={OTHER_KEY}"),
        "b=7.13.0.x,unauthenticated",
        "c=7.14.0.x,unauthenticated",
    ];
    assert_eq!(check_all(&peers(&no_clash), Network::DEFAULT, true), Ok(()));
}

#[test]
fn only_published_hubs_can_be_peers_of_a_hub_without_a_key() {
    let published = peers(&["a=7.11.0.x,unauthenticated"]);
    assert_eq!(check_all(&published, Network::DEFAULT, false), Ok(()));
    let error = check_all(&peers(&["a=7.11.0.x,key=KEY"]), Network::DEFAULT, false).unwrap_err();
    assert!(error.to_string().starts_with("the peer 7.11.0.0/24 needs 'state'"), "{error}");
    assert!(error.hint().contains("--state"), "{}", error.hint());
}

#[test]
fn number_of_peers_is_limited() {
    let peer = |number| parse_peer(&format!("h{number}=7.11.{number}.x,unauthenticated")).unwrap();
    let mut peers: Vec<_> = (0..MAX_PEERS).map(peer).collect();
    assert_eq!(check_all(&peers, Network::DEFAULT, false), Ok(()));
    peers.push(peer(MAX_PEERS));
    let error = check_all(&peers, Network::DEFAULT, false).unwrap_err();
    assert_eq!(error, PeersError::TooMany { num_peers: MAX_PEERS + 1 });
}
