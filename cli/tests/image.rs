//! The recipe of an image names what there is: stages, paths, a compiler that is new enough, arguments that the program
//! takes (SEC-143). That the program needs nothing else than what the image has is shown by conformance/interop/image.

use std::process::Command;

const RECIPE: &str = include_str!("../../systemd/Containerfile");
const WORKSPACE: &str = include_str!("../../Cargo.toml");

/// Instructions with their arguments, lines that go on joined.
fn instructions() -> Vec<(String, String)> {
    let joined = RECIPE.replace("\\\n", " ");
    let lines = joined
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let (word, rest) = line.split_once(' ').unwrap();
            (word.to_owned(), rest.trim().to_owned())
        })
        .collect()
}

/// Arguments of those of one kind.
fn all(kind: &str) -> Vec<String> {
    let own = instructions().into_iter();
    own.filter(|(word, _)| word == kind)
        .map(|(_, rest)| rest)
        .collect()
}

/// Arguments that are written as a list.
fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap()
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap()).collect()
}

/// The value of an argument such as `--profile dist`.
fn value<'c>(command: &'c str, name: &str) -> &'c str {
    let mut words = command.split_whitespace();
    words.find(|word| *word == name);
    words
        .next()
        .unwrap_or_else(|| panic!("no {name} in {command}"))
}

#[test]
fn the_recipe_of_an_image_names_stages_paths_and_a_compiler_that_there_are() {
    let stages = all("FROM");
    let [build, last] = stages.as_slice() else {
        panic!("{stages:?}");
    };
    let (base, name) = build.split_once(" AS ").unwrap();
    let (_, tag) = base.split_once("rust:").unwrap();
    let (compiler, release) = tag.split_once("-slim-").unwrap();
    let least = WORKSPACE
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""));
    let least = least.unwrap().trim_end_matches('"');
    assert!(version(compiler) >= version(least), "{compiler}, {least}");
    // What is linked there is found here: both are of one release of Debian.
    assert_eq!(
        (release, last.contains("/cc-debian12:")),
        ("bookworm", true),
        "{last}"
    );

    let command = all("RUN").join(" ");
    let profile = value(&command, "--profile");
    assert!(
        WORKSPACE.contains(&format!("[profile.{profile}]")),
        "{profile}"
    );
    let package = include_str!("../Cargo.toml");
    for own in [value(&command, "--package"), value(&command, "--bin")] {
        assert!(package.contains(&format!("\nname = \"{own}\"\n")), "{own}");
    }
    assert!(command.contains(" --locked"), "{command}");

    let folder = all("WORKDIR").join("");
    let made = format!("{folder}/target/{profile}/{}", value(&command, "--bin"));
    let copies: Vec<Vec<String>> = all("COPY")
        .iter()
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect();
    let from = format!("--from={name}");
    let copied: Vec<&Vec<String>> = copies.iter().filter(|own| own.contains(&from)).collect();
    let entry = list(&all("ENTRYPOINT")[0]);
    let program = copied.iter().find(|own| own.contains(&made));
    let program = program.unwrap_or_else(|| panic!("{made}: {copied:?}"));
    assert_eq!(program.last(), entry.first());
    // Every other one is a folder that was made for it, and is the user's.
    for own in copied.iter().filter(|own| !own.contains(&made)) {
        let [_, owner, source, _] = own.as_slice() else {
            panic!("{own:?}");
        };
        assert_eq!(owner, "--chown=65532:65532");
        assert!(
            command.contains(&format!(" && mkdir {source} ")),
            "{command}"
        );
    }
    // The list of crates is put into what is copied, by a script of ours (SEC-162).
    let program = made.strip_prefix(&format!("{folder}/")).unwrap();
    for step in [".ci/bill inside >", ".ci/bill check "] {
        assert!(command.contains(step), "{step}");
    }
    assert!(command.ends_with(&format!(" {program}")), "{command}");
    assert!(std::path::Path::new("../.ci/bill").is_file());
    let left_out = include_str!("../../.containerignore");
    for own in ["/target", "/.git"] {
        assert!(left_out.lines().any(|line| line == own), "{own}");
    }
}

#[test]
fn what_the_image_starts_and_what_its_recipe_says_to_type_are_commands_of_the_program() {
    let entry = list(&all("ENTRYPOINT")[0]);
    assert_eq!(entry, ["/usr/bin/causeway"]);
    let usual = list(&all("CMD")[0]);
    let state = value(&usual.join(" "), "--state").to_owned();
    assert!(
        all("COPY")
            .iter()
            .any(|own| own.ends_with(&format!(" {state}"))),
        "{state} is not in the image"
    );
    // Lines to type: what stands behind the name of the image.
    let typed = RECIPE
        .lines()
        .filter_map(|line| line.strip_prefix("#     podman run "));
    let mut commands: Vec<Vec<String>> = typed
        .map(|line| {
            let mut words = line.split(' ');
            words.find(|word| *word == "causeway").unwrap();
            words.map(str::to_owned).collect()
        })
        .collect();
    assert!(commands.len() >= 2, "{commands:?}");
    commands.push(usual);
    for mut command in commands.into_iter().filter(|own| !own.is_empty()) {
        command.push("--help".to_owned());
        let done = Command::new(env!("CARGO_BIN_EXE_causeway"))
            .args(&command)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(0), "{command:?}: {errors}");
    }
}
