use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const TAG: &str = "dosp0";
const OTHERS: &str =
    "127.0.0.1 localhost\n::1\tlocalhost ip6-localhost\n10.9.9.9 NAS.lan nas # x\n";
const BLOCK: &str = "\
# BEGIN dosp dosp0: made by dosp-agent, which replaces and removes it
10.1.2.3 bob.dosp bob
# END dosp dosp0
";

fn entries(of: &[(&str, &str)]) -> Vec<(Vip, PeerName)> {
    of.iter().map(|(vip, name)| (vip.parse().unwrap(), name.parse().unwrap())).collect()
}

fn bob() -> Vec<(Vip, PeerName)> {
    entries(&[("10.1.2.3", "bob")])
}

fn with(text: &str, entries: &[(Vip, PeerName)]) -> String {
    String::from_utf8(block_in(text.as_bytes(), TAG, entries)).unwrap()
}

fn block_in(text: &[u8], tag: &str, entries: &[(Vip, PeerName)]) -> Vec<u8> {
    let (text, num_left_out) = with_block(text, tag, entries, None, MAX_LEN);
    assert_eq!(num_left_out, 0);
    text
}

fn without(text: &str) -> String {
    String::from_utf8(without_block(text.as_bytes(), TAG)).unwrap()
}

/// A file of this content.
fn file(dir: &TempDir, content: impl AsRef<[u8]>) -> HostsFile {
    let path = dir.path().join("hosts");
    fs::write(&path, content).unwrap();
    HostsFile::at(path)
}

fn content(hosts: &HostsFile) -> String {
    fs::read_to_string(hosts.path()).unwrap()
}

#[test]
fn block_stands_at_the_end_and_is_replaced() {
    let once = with(OTHERS, &bob());
    assert_eq!(once, [OTHERS, BLOCK].concat());
    assert_eq!(with(&once, &bob()), once);
    assert_eq!(with("", &bob()), BLOCK);
    let added_behind = format!("{once}10.9.9.8 printer\r\n");
    let carol = entries(&[("10.1.2.4", "carol"), ("10.1.2.3", "bob")]);
    let replaced = with(&added_behind, &carol);
    let expected = BLOCK.replace("10.1.2.3", "10.1.2.4 carol.dosp carol\n10.1.2.3");
    assert_eq!(replaced, [OTHERS, "10.9.9.8 printer\r\n", &expected].concat());
    assert_eq!(with(&once, &[]), OTHERS);
}

#[test]
fn members_of_other_networks_have_their_hubs_name_and_never_one_of_the_internet() {
    let names =
        entries(&[("10.1.2.3", "bob"), ("10.2.2.3", "bob.berlin"), ("10.3.2.3", "bank.com")]);
    let text = with(OTHERS, &names);
    let expected =
        BLOCK.replace("dosp bob\n", "dosp bob\n10.2.2.3 bob.berlin.dosp\n10.3.2.3 bank.com.dosp\n");
    assert_eq!(text, [OTHERS, &expected].concat());
    assert_eq!(without(&text), OTHERS);
}

#[test]
fn names_that_others_have_are_left_to_them() {
    let names = ["localhost", "nas", "ip6-localhost", "x", "web"];
    let names: Vec<_> = names.into_iter().map(|name| ("10.1.2.3", name)).collect();
    let own = "web".parse().ok();
    let (text, _) = with_block(OTHERS.as_bytes(), TAG, &entries(&names), own.as_ref(), MAX_LEN);
    let text = String::from_utf8(text).unwrap();
    let ours: Vec<_> = text.lines().filter(|line| line.starts_with("10.1.2.3")).collect();
    assert_eq!(
        ours,
        [
            "10.1.2.3 localhost.dosp",
            "10.1.2.3 nas.dosp",
            "10.1.2.3 ip6-localhost.dosp",
            "10.1.2.3 x.dosp x",
            "10.1.2.3 web.dosp",
        ]
    );
    assert!(with("", &entries(&[("10.1.2.3", "localhost")])).contains("localhost.dosp\n"));
}

#[test]
fn each_agent_has_a_block_of_its_own() {
    let other = BLOCK.replace("dosp0", "dosp01").replace("10.1.2.3", "10.2.2.3");
    let both = with(&other, &bob());
    assert_eq!(both, other.clone() + &BLOCK.replace(".dosp bob", ".dosp"), "bob is the first");
    assert_eq!(without(&both), other);
    assert_eq!(without_block(both.as_bytes(), "dosp01"), both.as_bytes()[other.len()..]);
}

#[test]
fn block_that_lost_its_end_takes_nobodys_lines_with_it() {
    let torn = BLOCK.replace("# END dosp dosp0\n", "");
    assert_eq!(without(&torn), "");
    let other = BLOCK.replace("dosp0", "dosp1");
    assert_eq!(without(&(torn.clone() + &other)), other);
    for foreign in [
        OTHERS,
        "10.1.2.3 bob\n",
        "10.1.2.3 bob.dosp bob x\n",
        "10.1.2.3 bob.dosp  bob\n",
        "10.1.2.3 bob.dosp bob # x\n",
        "10.1.2 bob.dosp bob\n",
        "10.1.2.3 bob.dosp bob.lan\n",
        "# END dosp dosp1\n",
        "\n",
    ] {
        assert_eq!(without(&[&torn, foreign].concat()), foreign);
        assert_eq!(without(&[&torn, foreign, "# END dosp dosp0"].concat()), foreign);
    }
}

#[test]
fn file_is_rewritten_in_place() {
    let dir = TempDir::new().unwrap();
    let hosts = file(&dir, OTHERS);
    fs::set_permissions(hosts.path(), fs::Permissions::from_mode(0o664)).unwrap();
    let before = fs::metadata(hosts.path()).unwrap();
    hosts.write(TAG, &bob()).unwrap();
    assert_eq!(content(&hosts), [OTHERS, BLOCK].concat());
    assert_eq!(hosts.remove("dosp1").ok(), Some(false));
    assert_eq!(hosts.remove(TAG).ok(), Some(true));
    assert_eq!(hosts.remove(TAG).ok(), Some(false));
    assert_eq!(content(&hosts), OTHERS);
    let after = fs::metadata(hosts.path()).unwrap();
    assert_eq!((after.ino(), after.mode()), (before.ino(), before.mode()));
}

#[test]
fn file_that_needs_no_change_is_not_written() {
    let dir = TempDir::new().unwrap();
    let hosts = file(&dir, OTHERS);
    hosts.write(TAG, &bob()).unwrap();
    let changed = fs::metadata(hosts.path()).unwrap().modified().unwrap();
    hosts.write(TAG, &bob()).unwrap();
    assert_eq!(fs::metadata(hosts.path()).unwrap().modified().unwrap(), changed);
}

#[test]
fn file_that_is_missing_is_made_where_there_are_names() {
    let dir = TempDir::new().unwrap();
    let hosts = HostsFile::at(dir.path().join("hosts"));
    assert_eq!(hosts.remove(TAG).ok(), Some(false));
    hosts.write(TAG, &[]).unwrap();
    assert!(!hosts.path().exists());
    hosts.write(TAG, &bob()).unwrap();
    assert_eq!(content(&hosts), BLOCK);
    assert_eq!(HostsFile::default().path(), Path::new("/etc/hosts"));
}

#[test]
fn file_that_is_too_long_is_left_alone() {
    let dir = TempDir::new().unwrap();
    for (len, num_left_out) in [(MAX_LEN - 10, Some(1)), (MAX_LEN + 1, None)] {
        let hosts = file(&dir, vec![b'#'; len]);
        let written = hosts.write(TAG, &bob()).map_err(|error| error.kind());
        assert_eq!(written, num_left_out.ok_or(io::ErrorKind::FileTooLarge));
        assert_eq!(fs::metadata(hosts.path()).unwrap().len(), len as u64);
    }
    assert!(file(&dir, vec![b'#'; MAX_LEN + 1]).remove(TAG).is_err());
    assert!(HostsFile::at(dir.path()).write(TAG, &bob()).is_err(), "a folder");
}

/// So many members of the hub `hub`, with names as long as they can be.
fn many(hub: &str, count: u32) -> Vec<(Vip, PeerName)> {
    let name = |i| format!("{i:0>63}.{hub}").parse().unwrap();
    (0..count).map(|i| (Vip::from(0x0A02_0000 + i), name(i))).collect()
}

#[test]
fn long_list_of_another_hub_takes_nobodys_room() {
    let dir = TempDir::new().unwrap();
    let hosts = file(&dir, OTHERS);
    hosts.write(TAG, &bob()).unwrap();
    // As a hub would have it: before everybody else.
    let hostile = many("berlin", 20_000);
    let small = entries(&[("10.3.2.3", "eve.oslo"), ("10.3.2.4", "mallory.oslo")]);
    let num_left_out = hosts.write(TAG, &[hostile, bob(), small].concat()).unwrap();
    let text = content(&hosts);
    assert!(num_left_out > 0 && text.len() <= MAX_LEN / 2);
    for line in ["10.1.2.3 bob.dosp bob\n", "eve.oslo.dosp\n", "mallory.oslo.dosp\n"] {
        assert!(text.contains(line), "{line}");
    }
    assert_eq!(text.matches("berlin.dosp\n").count(), 20_000 - num_left_out);
    // There is room for another agent, and the names go again.
    assert_eq!(hosts.write("dosp1", &bob()).unwrap(), 0);
    assert_eq!(hosts.write(TAG, &bob()).unwrap(), 0);
    assert_eq!(content(&hosts).matches("bob.dosp").count(), 2);
}

#[test]
fn own_names_may_fill_the_file_and_no_more() {
    let own: Vec<_> =
        many("x", 20_000).into_iter().map(|(vip, name)| (vip, name.name.into())).collect();
    let (text, num_left_out) = with_block(b"", TAG, &own, None, MAX_LEN);
    assert!(num_left_out > 0 && (MAX_LEN - 200..=MAX_LEN).contains(&text.len()));
    assert!(text.ends_with(b"# END dosp dosp0\n"));
    assert_eq!(without_block(&text, TAG), b"");
    // Where there is no room at all, names that were there do not stay.
    let (text, num_left_out) = with_block(&text, TAG, &own, None, 100);
    assert_eq!((text, num_left_out), (Vec::new(), own.len()));
}

#[test]
fn agents_that_write_at_once_keep_each_others_names() {
    let dir = TempDir::new().unwrap();
    let hosts = file(&dir, OTHERS);
    std::thread::scope(|scope| {
        for tag in ["dosp0", "dosp1", "dosp2"] {
            let hosts = &hosts;
            scope.spawn(move || (0..20).for_each(|_| rewrite(hosts, tag)));
        }
    });
    let text = content(&hosts);
    assert!(text.starts_with(OTHERS), "{text}");
    assert_eq!(text.matches("# BEGIN").count(), 3, "{text}");
}

fn rewrite(hosts: &HostsFile, tag: &str) {
    hosts.remove(tag).unwrap();
    hosts.write(tag, &bob()).unwrap();
}

/// Lines as they come in hosts files, after crashes and by other hands.
fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let known = proptest::sample::select(vec![
        "# BEGIN dosp dosp0: made by dosp-agent",
        "# BEGIN dosp dosp1: made by dosp-agent",
        "# END dosp dosp0",
        "# END dosp dosp1",
        "10.1.2.3 bob.dosp bob",
        "10.1.2.4 carol.dosp",
        "10.2.2.4 carol.berlin.dosp",
        "10.1.2.4 ca",
        "127.0.0.1 localhost carol",
    ]);
    let line = prop_oneof![
        4 => known.prop_map(|line| line.as_bytes().to_vec()),
        1 => "[ -~]{0,20}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ];
    let line = (line, "\r?\n").prop_map(|(line, end)| [line, end.into_bytes()].concat());
    (proptest::collection::vec(line, 0..12), 0..3usize).prop_map(|(lines, cut)| {
        let mut text = lines.concat();
        text.truncate(text.len().saturating_sub(cut));
        text
    })
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// Whether somebody else may have written it, whatever stands around it.
fn is_foreign(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    !text.contains(".dosp") && !text.contains("dosp dosp0")
}

proptest! {
    #[test]
    fn lines_of_others_are_kept_whatever_the_text(text in any_text()) {
        let rest = without_block(&text, TAG);
        prop_assert!(lines(&rest).filter(|line| is_foreign(line)).eq(
            lines(&text).filter(|line| is_foreign(line))
        ));
        // Where there is no block of ours nothing changes at all.
        if !lines(&text).any(|line| line.starts_with(b"# BEGIN dosp dosp0:")) {
            prop_assert_eq!(&rest, &text);
        }
        prop_assert_eq!(without_block(&rest, TAG), rest);
    }

    #[test]
    fn what_is_written_is_removed_again(text in any_text(), tag in "dosp[01]") {
        let rest = without_block(&text, &tag);
        let written = block_in(&text, &tag, &bob());
        prop_assert!(written.starts_with(&rest));
        prop_assert_eq!(&block_in(&written, &tag, &bob()), &written);
        let removed = without_block(&written, &tag);
        let added = removed.strip_prefix(&rest[..]).unwrap();
        let lacks_end = rest.last().is_some_and(|last| *last != b'\n');
        prop_assert_eq!(added, if lacks_end { &b"\n"[..] } else { b"" });
    }

    #[test]
    fn file_gets_what_the_text_says(text in any_text()) {
        let dir = TempDir::new().unwrap();
        let hosts = file(&dir, &text);
        hosts.write("dosp9", &bob()).unwrap();
        hosts.write(TAG, &entries(&[("10.1.2.9", "dave")])).unwrap();
        hosts.remove("dosp9").unwrap();
        let expected = block_in(&text, TAG, &entries(&[("10.1.2.9", "dave")]));
        prop_assert_eq!(fs::read(hosts.path()).unwrap(), expected);
    }
}
