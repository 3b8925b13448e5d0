//! A report has what helps, and no secret, not even one that a log has swallowed.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64_URL};
use dosp_proto::secret::NetworkSecret;
use dosp_tests::{Hub, Net, needs_root};
use rand::SeedableRng;
use rand::rngs::StdRng;

#[test]
fn report_has_what_helps_and_no_secret() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let hub = Hub::closed(&net)?;
    let host = &net.hosts[0];
    let join_string = hub.invite(&["--name", "alice"])?;
    host.join(&join_string)?;
    let canary = NetworkSecret::generate(&mut StdRng::seed_from_u64(8)).to_text().to_string();
    let config = config_with_secret(net.dir(), &canary)?;
    let with = |args: &[&str]| host.agent(&[args, &["--config", &config]].concat());

    // The join key is not used up yet.
    let before = with(&["bugreport", "-"])?.ok()?.stdout;
    ensure!(before.contains("no agent is running"), "{before}");
    is_clean(&before, &[&join_string, &canary])?;
    ensure!(before.contains("a join would use up the join string"), "{before}");
    ensure!(hub.nodes()?.is_empty(), "a report has joined: {:?}", hub.nodes()?);

    with(&["up", "--detach"])?.ok()?;
    let log = net.dir().join(format!("{}.log", host.address));
    let mut log = OpenOptions::new().append(true).open(&log).context("the agent's log")?;
    let forms = forms(&canary)?;
    writeln!(log, "swallowed {canary} and {join_string}, then {}", forms.join(" "))?;
    let path = net.dir().join("report.txt");
    let args = ["bugreport", &path.display().to_string()];
    with(&args)?.ok()?.says(&["read it before you send it"])?;

    let report = fs::read_to_string(&path)?;
    ensure!(fs::metadata(&path)?.permissions().mode() & 0o777 == 0o600, "it is open to others");
    is_clean(&report, &[&join_string, &canary])?;
    for form in &forms {
        ensure!(!report.contains(&form[..30]), "{form} is in the report");
    }
    for words in [
        "READ IT BEFORE YOU SEND IT",
        "===== kernel =====\nLinux version",
        "\"schema\": \"dosp.status/1\"",
        "\"schema\": \"dosp.doctor/1\"",
        "secret_file: Some(",
        "198.18.0.2/24",
        "dev dosp0",
        "swallowed dosps1:[masked] and dosp1:[masked], then [masked]",
    ] {
        ensure!(report.contains(words), "{words:?} is not in {report}");
    }
    with(&args)?.exits(1)?.says(&["\nhint: name another file"])?;
    host.agent(&["down"])?.ok()?;
    Ok(())
}

/// A configuration file that names the file of a secret.
fn config_with_secret(dir: &Path, secret: &str) -> Result<String> {
    let secret_file = dir.join("secret");
    fs::write(&secret_file, format!("{secret}\n"))?;
    fs::set_permissions(&secret_file, fs::Permissions::from_mode(0o600))?;
    let config = dir.join("alice.toml").display().to_string();
    fs::write(&config, format!("secret_file = \"{}\"\n", secret_file.display()))?;
    Ok(config)
}

/// The bytes of a secret in hexadecimal and in base64, alone and within other bytes.
fn forms(secret: &str) -> Result<Vec<String>> {
    let (_, body) = secret.split_once(':').context("a prefix")?;
    let bytes = BASE64_URL.decode(body)?;
    let hex = bytes[..32].iter().map(|byte| format!("{byte:02x}")).collect();
    let within = BASE64.encode([&bytes[..32], b"behind"].concat());
    Ok(vec![hex, BASE64.encode(&bytes[..32]), within])
}

/// Whether nothing of the secrets' own text is there.
fn is_clean(report: &str, secrets: &[&str]) -> Result<()> {
    for secret in secrets {
        let (_, body) = secret.split_once(':').context("a prefix")?;
        for part in body.as_bytes().chunks(16).filter(|part| part.len() == 16) {
            let part = std::str::from_utf8(part)?;
            ensure!(!report.contains(part), "{part} of {secret} is in the report");
        }
    }
    Ok(())
}
