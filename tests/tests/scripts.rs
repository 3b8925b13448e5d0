//! `scripts/demo` on a machine without Rust, with stand-ins for what it would fetch; the table and the
//! chart of `scripts/bench`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use dosp_tests::{dosp::workspace, needs_root};
use tempfile::TempDir;

/// Pretends to be rustup's installer: notes its arguments and "installs" a cargo.
const RUSTUP_INIT: &str = r#"#!/bin/sh
echo "$@" >"$CARGO_HOME/rustup-init.args"
mkdir -p "$CARGO_HOME/bin"
printf '#!/bin/sh\necho "cargo 1.999.0 (stand-in)"\n' >"$CARGO_HOME/bin/cargo"
chmod +x "$CARGO_HOME/bin/cargo"
"#;

#[test]
fn demo_installs_rust_through_rustup_where_there_is_no_cargo() -> Result<()> {
    needs_root!();
    let home = TempDir::new()?;
    program(&home.path().join("bin/rustup-init"), RUSTUP_INIT)?;

    let output = demo_only_tools(home.path())?;

    ensure!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.contains("rustup"), "it does not say what it does: {said}");
    ensure!(said.contains("cargo 1.999.0"), "the new cargo is not used: {said}");
    let args = fs::read_to_string(home.path().join("cargo/rustup-init.args"))?;
    ensure!(args.contains("-y"), "rustup-init would ask questions: {args}");
    Ok(())
}

#[test]
fn demo_takes_a_cargo_that_is_there_and_new_enough() -> Result<()> {
    needs_root!();
    let home = TempDir::new()?;
    program(&home.path().join("bin/cargo"), "#!/bin/sh\necho 'cargo 1.998.0 (there)'\n")?;
    program(&home.path().join("bin/rustup-init"), "#!/bin/sh\nexit 1\n")?;

    let output = demo_only_tools(home.path())?;

    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

#[test]
fn demo_does_not_take_a_cargo_that_is_too_old() -> Result<()> {
    needs_root!();
    let home = TempDir::new()?;
    program(&home.path().join("bin/cargo"), "#!/bin/sh\necho 'cargo 1.63.0 (old)'\n")?;
    program(&home.path().join("bin/rustup-init"), RUSTUP_INIT)?;

    let output = demo_only_tools(home.path())?;

    ensure!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.contains("1.63.0") && said.contains("cargo 1.999.0"), "{said}");
    Ok(())
}

#[test]
fn bench_table_judges_the_median_of_quiet_rounds() -> Result<()> {
    let home = TempDir::new()?;
    let rounds = "stream\tours\t8\t0.1\nstream\tours\t2\t0.9\nstream\tours\t8.2\t0\n\
                  stream\thaproxy\t20\t0.1\nstream\teasytier\t2.5\t0.9\n";

    let output = bench_table(home.path(), rounds)?;

    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{output:?}");
    ensure!(said.contains("| haproxy | 8.10 | 20.00 | 0.405 | ratio ≥ 0.35 |"), "{said}");
    ensure!(said.contains("| EasyTier | 8.10 | 2.50 | 3.24 | ratio ≥ 3 (noisy) |"), "{said}");
    Ok(())
}

#[test]
fn bench_table_fails_when_a_goal_is_missed_and_there_is_a_chart_nevertheless() -> Result<()> {
    let home = TempDir::new()?;

    let output = bench_table(home.path(), "stream\tours\t1\t0\nstream\thaproxy\t20\t0\n")?;

    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(String::from_utf8_lossy(&output.stdout).contains("**missed**"), "{output:?}");
    let drawn = Command::new(workspace().join("scripts/bench.d/chart.py"))
        .args([home.path().join("bench.json"), home.path().join("chart.svg")])
        .output()?;
    ensure!(drawn.status.success(), "{drawn:?}");
    let chart = fs::read_to_string(home.path().join("chart.svg"))?;
    ensure!(chart.starts_with("<svg") && chart.contains("20 Gbit/s"), "{chart}");
    Ok(())
}

/// `scripts/bench-table` over these lines of what, who, figure and noise; its report is `bench.json`.
fn bench_table(home: &Path, rounds: &str) -> Result<Output> {
    fs::write(home.join("results.tsv"), rounds)?;
    Command::new(workspace().join("scripts/bench-table"))
        .args([home.join("results.tsv"), home.join("bench.json")])
        .args(["0.1", "15"])
        .output()
        .context("run scripts/bench-table")
}

/// `scripts/demo --only-tools` with a PATH that holds no cargo but what a test puts there.
fn demo_only_tools(home: &Path) -> Result<Output> {
    let path = format!("{}/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", home.display());
    fs::create_dir_all(home.join("cargo"))?;
    Command::new(workspace().join("scripts/demo"))
        .arg("--only-tools")
        .env_clear()
        .env("PATH", path)
        .env("HOME", home)
        .env("CARGO_HOME", home.join("cargo"))
        .env("RUSTUP_HOME", home.join("rustup"))
        .output()
        .context("run scripts/demo")
}

fn program(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().context("a folder")?)?;
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).context("make it executable")
}
