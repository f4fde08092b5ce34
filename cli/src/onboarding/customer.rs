//! A customer that is to be taken into service, and the file that does it.

use super::powershell::Media;
use causeway_import::quoted;
use sbc_core::config::{Config, Trunk};
use sbc_core::id::TrunkName;
use std::fmt::Write as _;
use std::sync::Arc;

/// What is known of the customer. Its words go into a file that the loader judges, so nothing is judged
/// here but that they can stand in one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Customer {
    /// Name of the tenant.
    pub name: String,
    /// Name of the trunk in Teams.
    pub fqdn: String,
    /// Numbers and ranges.
    pub numbers: Vec<String>,
    /// Numbers by which its users call for help, as they are dialled; none where nobody can (TDR-EMG-001).
    pub emergency: Vec<String>,
    /// Most calls at a time.
    pub calls: Option<u32>,
    /// How its trunk is made.
    pub kind: Kind,
    /// How media go.
    pub media: Media,
    /// What there is to say of local media, with [`Media::Lmo`].
    pub local: Option<Local>,
}

/// Local media of a customer (TDR-LMO-010).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Local {
    /// Realm with our address inside the customer's network.
    pub internal: String,
    /// Our name as the proxy in front of the SBC that the customer's trunk names.
    pub proxy: Option<String>,
    /// Trunk to that SBC.
    pub downstream: Option<String>,
    /// Network site of the SBC.
    pub site: Option<String>,
    /// For whom media stay inside.
    pub mode: BypassMode,
}

/// For whom media stay inside, as Teams calls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum BypassMode {
    /// For everybody inside, at whatever site.
    #[default]
    Always,
    /// For users at the SBC's own site.
    Local,
}

impl BypassMode {
    /// The word of Teams.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::Local => "OnlyForLocalUsers",
        }
    }
}

impl Local {
    /// The table of the trunk.
    fn draft(&self) -> String {
        let optional = [
            ("proxy", &self.proxy),
            ("downstream", &self.downstream),
            ("site", &self.site),
        ];
        let mut text = format!("local_media = {{ internal = {}", quoted(&self.internal));
        for (key, value) in optional {
            if let Some(value) = value {
                let _ = write!(text, ", {key} = {}", quoted(value));
            }
        }
        text + " }\n"
    }
}

/// How the trunk of a customer is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It is derived from this carrier trunk.
    Hosted {
        /// The carrier trunk.
        carrier: String,
        /// TLS identity; that of the carrier trunk where none is named.
        tls: Option<String>,
    },
    /// It is a trunk of its own.
    Own {
        /// Realm of Teams.
        realm: String,
        /// TLS identity; that of the realm where none is named.
        tls: Option<String>,
        /// Trunk over which its calls leave and come.
        pstn: String,
    },
}

impl Customer {
    /// Name of its trunk in the configuration.
    pub fn trunk(&self) -> TrunkName {
        TrunkName::new(&format!("teams-{}", self.name))
    }

    /// Its first number; nothing where it has none.
    pub fn number(&self) -> &str {
        let first = self.numbers.first().map_or("", String::as_str);
        first.split('-').next().unwrap_or(first)
    }

    /// The file that takes it into service.
    pub fn draft(&self) -> String {
        let (name, trunk) = (quoted(&self.name), quoted(self.trunk().as_str()));
        let list = |all: &[String]| {
            let all: Vec<String> = all.iter().map(|text| quoted(text)).collect();
            all.join(", ")
        };
        let mut text = format!(
            "# Customer {name}, drafted by \"causeway tenant add\".\n\n[[tenant]]\nname = {name}\n\
             numbers = [{}]\nemergency = [{}]\n",
            list(&self.numbers),
            list(&self.emergency)
        );
        if let Some(calls) = self.calls {
            let _ = writeln!(text, "limits = {{ calls = {calls} }}");
        }
        let fqdn = quoted(&self.fqdn);
        let mut media = match self.media {
            Media::Processed => String::new(),
            Media::Bypass | Media::Lmo => "media_bypass = true\n".to_owned(),
        };
        media += &self.local.as_ref().map(Local::draft).unwrap_or_default();
        match &self.kind {
            Kind::Hosted { carrier, tls } => {
                let tls = tls.as_ref();
                let tls = tls.map(|tls| format!("tls = {}\n", quoted(tls)));
                let _ = write!(
                    text,
                    "\n[[trunk]]\nname = {trunk}\ninherits = {}\ntenant = {name}\n{}fqdn = {fqdn}\n{media}",
                    quoted(carrier),
                    tls.unwrap_or_default()
                );
            }
            Kind::Own { realm, tls, pstn } => {
                let _ = write!(
                    text,
                    "\n[[trunk]]\nname = {trunk}\npreset = \"teams\"\ntenant = {name}\nrealm = {}\n",
                    quoted(realm)
                );
                if let Some(tls) = tls {
                    let _ = writeln!(text, "tls = {}", quoted(tls));
                }
                let _ = write!(
                    text,
                    "fqdn = {fqdn}\n{media}\n[[route]]\nname = {}\nmatch = {{ called_in = {} }}\n\
                     to = [{{ trunk = {trunk} }}]\n\n[[route]]\nname = {}\n\
                     match = {{ from_trunk = {trunk} }}\nto = [{{ trunk = {} }}]\n",
                    quoted(&format!("to-{}", self.name)),
                    quoted(&format!("tenant:{}", self.name)),
                    quoted(&format!("from-{}", self.name)),
                    quoted(pstn)
                );
            }
        }
        text
    }

    /// A route to the trunk of a customer that is derived from a carrier trunk, for where those that are there lead to
    /// other customers alone.
    pub fn way_in(&self) -> Option<String> {
        let Kind::Hosted { carrier, .. } = &self.kind else {
            return None;
        };
        Some(format!(
            "\n[[route]]\nname = {}\nmatch = {{ called_in = {} }}\nto = [{{ trunk = {} }}]\n",
            quoted(&format!("to-{}", self.name)),
            quoted(&format!("tenant:{}", self.name)),
            quoted(carrier)
        ))
    }

    /// The trunk whose OPTIONS are asked of Teams for it: the carrier trunk where there is one.
    pub fn asking<'c>(&self, config: &'c Config) -> Option<&'c Arc<Trunk>> {
        let own = config.trunks.get(&self.trunk())?;
        config.trunks.get(own.watched_as())
    }
}
