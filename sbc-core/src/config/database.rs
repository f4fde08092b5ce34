//! PostgreSQL as operators write it: `postgresql://user@host:port/database`, and the name of a table.

use super::value::{Malformed, target};

/// The port that PostgreSQL has unless somebody says otherwise.
const PORT: u16 = 5432;
/// Most octets of a name of PostgreSQL's; longer ones it cuts off.
const LONGEST: usize = 63;

/// What a URL says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) user: String,
    /// Name or address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
}

/// A table, with its schema if that is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TableName {
    pub(super) schema: Option<String>,
    pub(super) table: String,
}

/// Whether a URL is meant for PostgreSQL.
pub(super) fn is_meant(url: &str) -> bool {
    scheme(url).is_some()
}

fn scheme(url: &str) -> Option<&str> {
    url.strip_prefix("postgresql://")
        .or_else(|| url.strip_prefix("postgres://"))
}

/// Reads `postgresql://user@host/database`, with a port behind the host if it is not 5432. A password in it is
/// refused, as what is printed would have it.
pub(super) fn place(url: &str) -> Result<Place, Malformed> {
    let bad = |what| {
        let instead = "write postgresql://user@host/database, with :port behind the host if it is not 5432; user and \
                       database of letters, digits, \"_\", \"-\" and \".\", 63 octets at most; an address of IPv6 in \
                       brackets";
        Err(Malformed { what, instead })
    };
    let rest = scheme(url).unwrap_or_default();
    let Some((user, rest)) = rest.rsplit_once('@') else {
        return bad("says not as whom to log in");
    };
    if user.contains(':') {
        return Err(Malformed {
            what: "has a password in it, which would be printed with it",
            instead: "write the user alone, and password = { file = \"/etc/causeway/private/records\" } beside it",
        });
    }
    let Some((host, database)) = rest.split_once('/') else {
        return bad("names no database");
    };
    if !is_name(user) || !is_name(database) || host.contains(';') {
        return bad("is no URL of a database");
    }
    match target(host) {
        // An address of IPv6 has brackets.
        Ok(found) if host.starts_with('[') == found.host.contains(':') => Ok(Place {
            user: user.to_owned(),
            host: found.host,
            port: found.port.unwrap_or(PORT),
            database: database.to_owned(),
        }),
        Ok(_) | Err(_) => bad("names no host"),
    }
}

fn is_name(text: &str) -> bool {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"_-.".contains(&octet);
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Reads `table` or `schema.table`.
pub(super) fn table_name(text: &str) -> Result<TableName, Malformed> {
    let is_name = |text: &str| {
        let is_plain =
            |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_';
        let is_begun = !text.starts_with(|first: char| first.is_ascii_digit());
        (1..=LONGEST).contains(&text.len()) && is_begun && text.bytes().all(is_plain)
    };
    let (schema, table) = match text.split_once('.') {
        Some((schema, table)) => (Some(schema), table),
        None => (None, text),
    };
    match schema.is_none_or(is_name) && is_name(table) {
        true => Ok(TableName {
            schema: schema.map(str::to_owned),
            table: table.to_owned(),
        }),
        false => Err(Malformed {
            what: "is no name of a table",
            instead: "write a table, or schema.table, of small letters, digits and \"_\", no digit first, 63 octets at \
                      most each, such as \"billing.causeway_records\"",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_user_a_host_and_a_name_without_a_password() {
        let told = |url| {
            place(url)
                .map(|own| format!("{own:?}"))
                .map_err(|own| own.what)
        };
        let own = place("postgresql://causeway@db.example.com/billing").unwrap();
        assert_eq!((own.host.as_str(), own.port), ("db.example.com", 5432));
        assert_eq!(
            (own.user.as_str(), own.database.as_str()),
            ("causeway", "billing")
        );
        let own = place("postgres://a.b-c_d@[2001:db8::5]:6432/x").unwrap();
        assert_eq!((own.host.as_str(), own.port), ("2001:db8::5", 6432));
        assert_eq!(place("postgresql://a@127.0.0.1:5433/x").unwrap().port, 5433);
        for wrong in [
            "postgresql://db.example.com/billing",
            "postgresql://causeway@db.example.com",
            "postgresql://causeway@/billing",
            "postgresql://causeway@db.example.com/",
            "postgresql://causeway@db.example.com/a/b",
            "postgresql://causeway@db.example.com/a?sslmode=disable",
            "postgresql://causeway@db.example.com:0/a",
            "postgresql://causeway@db.example.com;tls/a",
            "postgresql://causeway@2001:db8::5/a",
            "postgresql://causeway@0.0.0.0/a",
            "postgresql://a@b@db.example.com/a",
            "postgresql://a b@db.example.com/a",
        ] {
            assert!(place(wrong).is_err(), "{wrong}: {:?}", told(wrong));
        }
        let why = place("postgresql://causeway:s3cret@db.example.com/billing").unwrap_err();
        assert!(why.what.contains("password"), "{}", why.what);
    }

    #[test]
    fn a_table_has_a_name_that_nothing_has_to_be_escaped_in() {
        assert_eq!(table_name("cdr").unwrap().schema, None);
        let own = table_name("billing.causeway_records2").unwrap();
        assert_eq!(own.schema.as_deref(), Some("billing"));
        assert_eq!(own.table, "causeway_records2");
        for wrong in [
            "",
            "a.b.c",
            "a.",
            ".a",
            "1a",
            "Cdr",
            "a\"; DROP TABLE x; --",
            "a b",
            "ä",
        ] {
            assert!(table_name(wrong).is_err(), "{wrong}");
        }
        assert!(table_name(&"a".repeat(64)).is_err());
    }
}
