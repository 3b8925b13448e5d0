//! Network secrets: who has none, or another one, stays outside.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use dosp_tests::{Agent, Hub, Net, needs_root};

use crate::common::say;

#[test]
fn only_agents_with_the_same_secret_talk() -> Result<()> {
    needs_root!();
    let net = Net::star(3)?;
    let _hub = Hub::start(&net, &[])?;
    let secret = net.hosts[0].agent(&["secret", "new"])?.ok()?.stdout;
    let file = secret_file(&net, "secret", &secret)?;
    let a = Agent::up(&net, 0, &["--secret-file", &file])?;
    let b = Agent::up(&net, 1, &["--secret-file", &file])?;
    let stranger = Agent::up(&net, 2, &[])?;

    say(a.host(), &b.vip, "among us")?;
    a.ping(&b.vip)?;

    for (from, to) in [(&stranger, &b), (&b, &stranger)] {
        let refused = from.host().agent(&["send", &to.vip, "let me in"])?.exits(4)?;
        refused.says(&["network secret", "--secret-file"])?;
        ensure!(!from.reaches(&to.vip)?, "IP came in without the secret");
    }
    Ok(())
}

#[test]
fn a_command_by_itself_needs_the_secret_too() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let secret = net.hosts[0].agent(&["secret", "new"])?.ok()?.stdout;
    let file = secret_file(&net, "secret", &secret)?;
    let b = Agent::up(&net, 1, &["--secret-file", &file])?;

    let ping = ["ping", &b.vip, "-c", "1", "--hub", "198.18.0.1"];
    net.hosts[0].agent(&ping)?.exits(4)?.says(&["network secret"])?;

    net.hosts[0].agent(&[&ping[..], &["--secret-file", &file]].concat())?.ok()?;
    Ok(())
}

#[test]
fn what_is_no_secret_is_refused_and_not_repeated() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;

    for content in ["correct horse battery staple\n", "", "# nothing but words\n"] {
        let file = secret_file(&net, "words", content)?;
        let output = net.hosts[0].agent(&["up", "198.18.0.1", "--secret-file", &file])?.exits(2)?;
        let output = output.says(&[&file, "\nhint: "])?;
        ensure!(!output.stderr.contains("battery"), "it repeats the secret: {output}");
    }
    Ok(())
}

fn secret_file(net: &Net, name: &str, content: &str) -> Result<String> {
    let path = net.dir().join(name);
    fs::write(&path, content)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(path.display().to_string())
}
