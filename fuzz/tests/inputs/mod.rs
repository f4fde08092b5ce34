//! What is on file for each fuzz target.

use causeway_fuzz::Target;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()))
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Inputs of a target: its own, then those that it shares with other tests.
pub(crate) fn inputs(target: &Target) -> Vec<PathBuf> {
    let corpus = root().join("fuzz/corpus");
    let shared = fs::read_to_string(corpus.join("shared")).unwrap();
    let shared = shared.lines().filter_map(|line| {
        let (name, folder) = line.split_once(' ').expect("target and folder");
        (name == target.name).then(|| root().join(folder))
    });
    std::iter::once(corpus.join(target.name))
        .chain(shared)
        .flat_map(|folder| files(&folder))
        .collect()
}
