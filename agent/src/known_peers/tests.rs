use super::*;

mod model;

fn key(number: u16) -> PublicKey {
    let [high, low] = number.to_be_bytes();
    let mut bytes = [7; 32];
    (bytes[0], bytes[1]) = (high, low);
    bytes.into()
}

fn vip(number: u16) -> Vip {
    Vip::from(0x0A00_0000 + u32::from(number))
}

/// Our own key is number 0.
fn known(policy: TrustPolicy) -> KnownPeers {
    KnownPeers::new(key(0), policy)
}

/// Key 1 at vIP 1 was addressed, key 2 at vIP 2 was not.
fn two_peers(policy: TrustPolicy) -> KnownPeers {
    let mut known = known(policy);
    known.accept_key(vip(1), key(1)).unwrap();
    known.policy = TrustPolicy::FirstUse;
    known.pin(vip(2), key(2));
    known.policy = policy;
    known.take_changed();
    known
}

fn parse(text: &str) -> Result<KnownPeers, KnownPeersError> {
    KnownPeers::parse(text, key(0), TrustPolicy::FirstUse)
}

#[test]
fn first_key_at_a_vip_is_trusted_on_first_use_alone() {
    assert_eq!(known(TrustPolicy::FirstUse).judge(vip(1), &key(1)), Ok(()));
    let refused = known(TrustPolicy::Pinned).judge(vip(1), &key(1));
    assert_eq!(refused, Err(Distrust::Unknown { vip: vip(1), offered: key(1).fingerprint() }));
}

#[test]
fn our_own_key_is_never_trusted() {
    for policy in [TrustPolicy::FirstUse, TrustPolicy::Pinned] {
        let mut known = two_peers(policy);
        for number in 1..4 {
            assert_eq!(known.judge(vip(number), &key(0)), Err(Distrust::OwnKey));
            assert_eq!(known.pin(vip(number), key(0)), None);
        }
        known.note_refused(vip(3), key(0));
        assert_eq!(known.accept(vip(3), None), Err(AcceptError::NoneRefused { vip: vip(3) }));
        assert_eq!(known.accept_key(vip(3), key(0)), Err(AcceptError::OwnKey));
        assert_eq!(known.iter().count(), 2);
    }
}

#[test]
fn vip_of_an_addressed_key_takes_no_other() {
    for policy in [TrustPolicy::FirstUse, TrustPolicy::Pinned] {
        let mut known = two_peers(policy);
        let (first, offered) = (key(1).fingerprint(), key(2).fingerprint());
        let changed = Distrust::Changed { vip: vip(1), known: first, offered };
        assert_eq!(known.judge(vip(1), &key(2)), Err(changed));
        assert_eq!(known.pin(vip(1), key(2)), None);
        assert_eq!(known.key_of(vip(1)).map(|peer| peer.key), Some(key(1)));
        assert_eq!(known.key_of(vip(2)).map(|peer| peer.key), Some(key(2)));
    }
}

#[test]
fn key_that_was_never_addressed_gives_way() {
    let mut known = two_peers(TrustPolicy::FirstUse);
    assert_eq!(known.judge(vip(2), &key(3)), Ok(()));
    assert_eq!(known.pin(vip(2), key(3)), None);
    assert_eq!(known.key_of(vip(2)).map(|peer| peer.key), Some(key(3)));
    assert_eq!(known.iter().count(), 2, "key 2 is forgotten");
    assert!(!known.take_changed(), "neither is stored");
}

#[test]
fn key_that_proves_itself_elsewhere_leaves_its_vip_free() {
    let mut known = two_peers(TrustPolicy::FirstUse);
    assert_eq!(known.judge(vip(2), &key(1)), Ok(()), "key 2 there was never addressed");
    assert_eq!(known.pin(vip(2), key(1)), Some(vip(1)));
    assert!(known.take_changed());
    assert_eq!(known.key_of(vip(1)), None);
    assert_eq!(known.judge(vip(1), &key(3)), Ok(()));
    assert!(known.judge(vip(2), &key(3)).is_err(), "it is as addressed as it was");
    assert_eq!(known.pin(vip(2), key(1)), None);
    assert!(!known.take_changed());
}

#[test]
fn pinned_trusts_accepted_keys_wherever_they_go() {
    let mut known = two_peers(TrustPolicy::Pinned);
    assert!(known.judge(vip(2), &key(2)).is_err(), "known, and not accepted");
    assert_eq!(known.judge(vip(1), &key(1)), Ok(()));
    assert_eq!(known.judge(vip(3), &key(1)), Ok(()));
    assert_eq!(known.pin(vip(3), key(1)), Some(vip(1)));
    assert!(known.judge(vip(1), &key(3)).is_err(), "free, and still nobody is accepted there");
}

#[test]
fn addressing_makes_a_key_stay() {
    let mut known = two_peers(TrustPolicy::FirstUse);
    known.address(vip(3));
    known.address(vip(1));
    assert!(!known.take_changed(), "nobody is at the one, and the other was addressed before");
    known.address(vip(2));
    assert!(known.take_changed() && !known.take_changed());
    assert!(known.judge(vip(2), &key(3)).is_err());
    assert!(known.to_text().contains(&key(2).to_string()));
}

#[test]
fn proof_that_comes_after_another_key_was_addressed_is_in_vain() {
    let mut known = two_peers(TrustPolicy::FirstUse);
    assert_eq!(known.judge(vip(2), &key(3)), Ok(()));
    known.address(vip(2));
    assert_eq!(known.pin(vip(2), key(3)), None);
    assert_eq!(known.key_of(vip(2)).map(|peer| peer.key), Some(key(2)));
}

#[test]
fn only_so_many_keys_are_kept_that_were_never_addressed() {
    let mut known = two_peers(TrustPolicy::FirstUse);
    for number in 3..=1025 {
        known.pin(vip(number), key(number));
    }
    assert_eq!(known.iter().count(), 1025, "1,024, and the one that was addressed");
    known.pin(vip(2), key(2));
    known.pin(vip(1026), key(1026));
    assert_eq!(known.iter().count(), 1025);
    assert_eq!(known.key_of(vip(3)), None, "pinned longest ago, since key 2 came again");
    assert!(known.key_of(vip(1)).is_some() && known.key_of(vip(2)).is_some());
    assert_eq!((known.unaddressed.len(), known.vips.len()), (1024, 1025));
}

#[test]
fn refused_key_can_be_accepted_by_its_fingerprint() {
    let mut known = two_peers(TrustPolicy::FirstUse);
    known.bind_name("bob", vip(1)).unwrap();
    known.note_refused(vip(1), key(3));
    known.note_refused(vip(1), key(4));
    let (third, fourth) = (key(3).fingerprint(), key(4).fingerprint());
    let other = AcceptError::OtherKey { vip: vip(1), offered: fourth };
    assert_eq!(known.accept(vip(1), Some(&third.to_string())), Err(other));
    known.take_changed();
    let accepted = known.accept(vip(1), Some(&fourth.to_string().to_lowercase())).unwrap();
    assert_eq!((accepted.key, accepted.name.as_deref()), (key(4), Some("bob")));
    assert!(accepted.addressed && known.take_changed());
    assert_eq!(known.key_of(vip(1)), Some(&accepted));
    assert!(known.judge(vip(1), &key(1)).is_err(), "the old key is refused now");
    assert_eq!(known.accept(vip(1), None), Err(AcceptError::NoneRefused { vip: vip(1) }));
}

#[test]
fn accepted_key_comes_from_where_it_was_and_keeps_its_own_name() {
    let mut known = two_peers(TrustPolicy::FirstUse);
    known.bind_name("bob", vip(1)).unwrap();
    known.bind_name("carol", vip(2)).unwrap();
    let accepted = known.accept_key(vip(1), key(2)).unwrap();
    assert_eq!(accepted.name.as_deref(), Some("carol"));
    assert_eq!(known.iter().collect::<Vec<_>>(), [&accepted]);
    assert_eq!(known.by_name("bob"), None);
}

#[test]
fn only_so_many_refused_keys_are_kept() {
    let mut known = known(TrustPolicy::FirstUse);
    for number in 1..=256 {
        known.note_refused(vip(number), key(number));
    }
    known.note_refused(vip(1), key(1));
    known.note_refused(vip(257), key(257));
    assert_eq!(known.refused.len(), 256);
    assert!(known.accept(vip(2), None).is_err(), "refused longest ago");
    assert!(known.accept(vip(1), None).is_ok() && known.accept(vip(257), None).is_ok());
}

#[test]
fn name_belongs_to_one_key() {
    let mut known = two_peers(TrustPolicy::FirstUse);
    assert_eq!(known.bind_name("bob", vip(3)), Err(NameError::NoKey { vip: vip(3) }));
    assert!(matches!(known.bind_name("b ob", vip(1)), Err(NameError::Invalid(_))));
    assert_eq!(known.bind_name("Bob", vip(1)), Ok(()));
    assert!(known.take_changed());
    assert_eq!(known.bind_name("bob", vip(1)), Ok(()));
    assert!(!known.take_changed());
    let owner = key(1).fingerprint();
    let taken = NameError::Taken { name: "bob".to_owned(), owner, vip: vip(1) };
    assert_eq!(known.bind_name("BOB", vip(2)), Err(taken));
    known.pin(vip(3), key(1));
    assert_eq!(known.by_name("BOB").map(|peer| peer.vip), Some(vip(3)), "names move with keys");
    assert_eq!(known.bind_name("robert", vip(3)), Ok(()));
    assert_eq!(known.bind_name("bob", vip(2)), Ok(()), "free, as key 1 has another name");
    assert!(known.key_of(vip(2)).is_some_and(|peer| peer.addressed));
}

#[test]
fn forgotten_key_is_a_stranger_again() {
    let mut known = two_peers(TrustPolicy::FirstUse);
    assert_eq!(known.forget(vip(3)), None);
    assert_eq!(known.forget(vip(2)).map(|peer| peer.key), Some(key(2)));
    assert!(!known.take_changed());
    assert_eq!(known.forget(vip(1)).map(|peer| peer.key), Some(key(1)));
    assert!(known.take_changed());
    assert_eq!(known.judge(vip(1), &key(2)), Ok(()));
    assert_eq!(known.iter().count(), 0);
}

#[test]
fn refusals_say_what_to_do() {
    let known = two_peers(TrustPolicy::Pinned);
    let fingerprint = key(2).fingerprint();
    for (at, words) in [(1, "belongs to the key"), (2, "nobody has accepted")] {
        let distrust = known.judge(vip(at), &key(2)).unwrap_err();
        assert!(distrust.to_string().contains(words), "{distrust}");
        let command = format!("dosp-agent trust accept 10.0.0.{at} {fingerprint}");
        assert!(distrust.hint().ends_with(&command), "{}", distrust.hint());
    }
    assert!(known.judge(vip(1), &key(0)).unwrap_err().hint().contains("remove the file 'key'"));
}

#[test]
fn text_is_a_line_a_key_in_the_order_of_vips() {
    let mut known = known(TrustPolicy::FirstUse);
    for number in [10, 9, 2] {
        known.accept_key(vip(number), key(number)).unwrap();
    }
    known.pin(vip(3), key(3));
    known.bind_name("bob", vip(9)).unwrap();
    known.bind_name("Bob.Berlin", vip(10)).unwrap();
    let [second, ninth, tenth] = [2, 9, 10].map(key);
    let text = known.to_text();
    assert_eq!(
        text,
        format!(
            "# The keys of this agent's peers: KEY VIP NAME VERSION\n{second} 10.0.0.2 - 2\n\
             {ninth} 10.0.0.9 bob 2\n{tenth} 10.0.0.10 bob.berlin 2\n"
        )
    );
    let mut again = parse(&text).unwrap();
    assert_eq!(again.to_text(), text);
    assert!(!again.take_changed());
    known.forget(vip(3));
    assert!(again.iter().eq(known.iter()));
}

#[test]
fn hand_written_text_is_read() {
    let text = format!("\n # mine\r\n  {}\t10.0.0.1  Bob 3\r\n\n", key(1));
    let known = parse(&text).unwrap();
    let peer = known.key_of(vip(1)).unwrap();
    assert_eq!((peer.name.as_deref(), peer.version, peer.addressed), (Some("bob"), 3, true));
    assert_eq!(parse("").unwrap().iter().count(), 0);
}

#[test]
fn damaged_text_is_refused_with_the_line() {
    let (own, first, second) = (key(0), key(1), key(2));
    let good = format!("# peers\n{first} 10.0.0.1 bob 2\n");
    for (line, why) in [
        (format!("{second}"), "a line has a key"),
        (format!("{second} 10.0.0.2 - 2 2"), "a line has a key"),
        (format!("{} 10.0.0.2 - 2", &second.to_string()[1..]), "not a public key"),
        (format!("{second} 10.0.0 - 2"), "'10.0.0' is no vIP"),
        (format!("{second} 10.0.0.2 b_b 2"), "'b_b' is no name"),
        (format!("{second} 10.0.0.2 - two"), "the version is no number"),
        (format!("{second} 10.0.0.2 - 1"), "peers of version 1 have no keys"),
        (format!("{first} 10.0.0.2 - 2"), "the key was there before"),
        (format!("{second} 10.0.0.1 - 2"), "the vIP was there before"),
        (format!("{second} 10.0.0.2 BOB 2"), "the name was there before"),
        (format!("{own} 10.0.0.2 - 2"), "it is this agent's own key"),
    ] {
        let error = parse(&format!("{good}{line}\n")).unwrap_err();
        assert_eq!((error.line, error.to_string().as_str()), (3, "line 3"), "{line}");
        assert!(error.why.to_string().starts_with(why), "{line}: {}", error.why);
    }
}

#[test]
fn text_cut_anywhere_is_read_or_refused() {
    let mut known = two_peers(TrustPolicy::FirstUse);
    known.bind_name("bob", vip(2)).unwrap();
    let text = known.to_text();
    for cut in 0..text.len() {
        let Ok(part) = parse(&text[..cut]) else { continue };
        let whole = part.iter().all(|peer| known.key_of(peer.vip) == Some(peer));
        assert!(whole, "{cut}: whatever is read was written");
        assert!(text.starts_with(&part.to_text()), "{cut}");
    }
}
