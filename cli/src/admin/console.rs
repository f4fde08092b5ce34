//! The console: a few files that are part of the program, for browsers that know what modules are.
//!
//! There is nothing in them that a stranger may not see; what they show they ask for with the token of whoever has
//! signed in.

use super::Access;
use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::routing::get;

/// Path, kind, octets.
const FILES: &[(&str, &str, &[u8])] = &[
    (
        "/",
        "text/html; charset=utf-8",
        include_bytes!("console/index.html"),
    ),
    // Where an issuer sends browsers back to.
    (
        "/sign-in",
        "text/html; charset=utf-8",
        include_bytes!("console/index.html"),
    ),
    (
        "/console/style.css",
        "text/css; charset=utf-8",
        include_bytes!("console/style.css"),
    ),
    (
        "/console/icon.svg",
        "image/svg+xml",
        include_bytes!("console/icon.svg"),
    ),
    ("/console/app.js", SCRIPT, include_bytes!("console/app.js")),
    (
        "/console/client.js",
        SCRIPT,
        include_bytes!("console/client.js"),
    ),
    (
        "/console/desk.js",
        SCRIPT,
        include_bytes!("console/desk.js"),
    ),
    ("/console/dom.js", SCRIPT, include_bytes!("console/dom.js")),
    (
        "/console/live.js",
        SCRIPT,
        include_bytes!("console/live.js"),
    ),
    (
        "/console/report.js",
        SCRIPT,
        include_bytes!("console/report.js"),
    ),
    (
        "/console/tenants.js",
        SCRIPT,
        include_bytes!("console/tenants.js"),
    ),
    (
        "/console/terms.js",
        SCRIPT,
        include_bytes!("console/terms.js"),
    ),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Every file at its path.
pub(super) fn pages() -> Router<Access> {
    let mut router = Router::new();
    for &(path, kind, octets) in FILES {
        let head = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")];
        router = router.route(path, get(move || async move { (head, octets) }));
    }
    router
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_fetch_nothing_from_elsewhere_and_make_no_markup_of_what_they_are_told() {
        for (path, _, octets) in FILES {
            let text = std::str::from_utf8(octets).unwrap();
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for word in [
                "http://",
                "https://",
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "document.write",
                "eval(",
                "style=",
                "<script>",
                "localStorage",
                "document.cookie",
            ] {
                assert!(!text.contains(word), "{path}: {word}");
            }
        }
    }

    #[test]
    fn every_file_that_is_referred_to_is_there() {
        let paths: Vec<&str> = FILES.iter().map(|(path, ..)| *path).collect();
        for (path, _, octets) in FILES {
            let text = std::str::from_utf8(octets).unwrap();
            for word in text.split(['"', '\'']) {
                let wanted = match word.strip_prefix("./") {
                    Some(name) if name.ends_with(".js") => format!("/console/{name}"),
                    _ if word.starts_with("/console/") => word.to_owned(),
                    _ => continue,
                };
                assert!(paths.contains(&wanted.as_str()), "{path}: {wanted}");
            }
        }
    }
}
