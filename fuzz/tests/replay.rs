//! Replays the committed corpus, with any compiler.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use dosp_fuzz::TARGETS;

#[test]
fn every_input_of_the_corpus_passes() {
    let mut failed = Vec::new();
    for (target, run) in TARGETS {
        let inputs = files(&format!("corpus/{target}"));
        assert!(!inputs.is_empty(), "corpus/{target} is empty");
        for path in inputs {
            let input = fs::read(&path).unwrap();
            if catch_unwind(|| run(&input)).is_err() {
                failed.push(path);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_fuzzer_has_its_function_and_its_corpus() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|(target, _)| (*target).to_owned()).collect();
    assert_eq!(stems("fuzz_targets"), targets);
    assert_eq!(stems("corpus"), targets);
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn stems(folder: &str) -> BTreeSet<String> {
    let paths = files(folder);
    paths.iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}
