//! Access to the reports of Microsoft about a customer's calls: `graph = { tenant_id = "…", … }` of a tenant
//! (TDG-ENT-001, TDG-ENT-006).
//!
//! One application in each customer's directory, with the one permission that is needed. Only operator
//! commands use it: no call waits for Microsoft's answer.

use super::Cloud;
use super::file::secret;
use super::finding::{Code, Collector};
use super::read::Section;
use super::source::{At, Span};
use super::written::Secret;

/// How a customer's reports are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GraphAccess {
    /// The customer's directory, a GUID in lower case.
    pub tenant_id: String,
    /// The application that is registered there, a GUID in lower case.
    pub client_id: String,
    /// The cloud that the customer is served from, as its trunks say.
    pub cloud: Cloud,
    /// How the application proves itself.
    pub proof: GraphProof,
}

/// How an application proves itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GraphProof {
    /// It knows a secret.
    Secret(Secret),
    /// It has the key of a certificate that is registered for it.
    Certificate {
        /// PEM file with the certificate.
        cert: String,
        /// Private key in PEM.
        key: Secret,
    },
}

/// As it is written.
pub(super) struct WrittenGraph {
    pub(super) span: Span,
    pub(super) tenant_id: Option<At<String>>,
    pub(super) client_id: Option<At<String>>,
    pub(super) proof: Option<WrittenProof>,
}

pub(super) enum WrittenProof {
    Secret(At<Secret>),
    Certificate(At<String>, At<Secret>),
}

/// Reads the table of a tenant.
pub(super) fn read(section: &mut Section<'_>, out: &mut Collector) -> Option<WrittenGraph> {
    let mut table = section.table("graph", out)?;
    let proof = read_proof(&mut table, out);
    let graph = WrittenGraph {
        span: table.span.clone(),
        tenant_id: table.required_text("tenant_id", EXAMPLE, out),
        client_id: table.required_text("client_id", EXAMPLE, out),
        proof,
    };
    table.finish(&[], out);
    Some(graph)
}

/// Reads how an application proves itself: one of two ways.
pub(super) fn read_proof(table: &mut Section<'_>, out: &mut Collector) -> Option<WrittenProof> {
    let has = [
        table.has("secret"),
        table.has("certificate"),
        table.has("key"),
    ];
    let known = secret(table, "secret", out);
    let certificate = table.text("certificate", out);
    let key = secret(table, "key", out);
    match (has, known, certificate.zip(key)) {
        ([true, false, false], Some(secret), _) => Some(WrittenProof::Secret(secret)),
        ([false, true, true], _, Some((cert, key))) => Some(WrittenProof::Certificate(cert, key)),
        // What is wrong with them was said.
        ([true, false, false] | [false, true, true], _, _) => None,
        _ => {
            let what = match has {
                [false, false, false] => "nothing says how the application proves itself",
                [true, ..] => "the application proves itself in two ways",
                _ => "a certificate and its key are needed together",
            };
            out.add(
                Code::Contradiction,
                &table.span,
                format!("{}: {what}", table.title),
                Some(
                    "write certificate = \"…\" and key = { file = \"…\" }, or secret = { file = \"…\" }"
                        .to_owned(),
                ),
            );
            None
        }
    }
}

const EXAMPLE: &str = "\"11111111-2222-3333-4444-555555555555\"";
