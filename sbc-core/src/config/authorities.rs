//! Authorities whose certificates Teams takes from an SBC: roots of public CAs in Microsoft's root programme
//! (TDR-TLS-005).
//!
//! The list is what is known to be in it as of [`AS_OF`], by common name. It grows and shrinks every few
//! months, so an authority that is not here is a question to ask, not a mistake.

/// When the list was made.
pub(super) const AS_OF: &str = "2025-12";

/// Whether one of these names is that of an authority of the programme.
pub(super) fn is_known(names: &[String]) -> bool {
    names.iter().any(|name| KNOWN.contains(&name.as_str()))
}

const KNOWN: [&str; 67] = [
    "AAA Certificate Services",
    "Actalis Authentication Root CA",
    "Amazon Root CA 1",
    "Amazon Root CA 2",
    "Amazon Root CA 3",
    "Amazon Root CA 4",
    "Buypass Class 2 Root CA",
    "Buypass Class 3 Root CA",
    "COMODO ECC Certification Authority",
    "COMODO RSA Certification Authority",
    "Certainly Root E1",
    "Certainly Root R1",
    "Certigna",
    "Certigna Root CA",
    "Certum EC-384 CA",
    "Certum Trusted Network CA",
    "Certum Trusted Network CA 2",
    "Certum Trusted Root CA",
    "D-TRUST BR Root CA 1 2020",
    "D-TRUST EV Root CA 1 2020",
    "D-TRUST Root Class 3 CA 2 2009",
    "D-TRUST Root Class 3 CA 2 EV 2009",
    "DigiCert Assured ID Root CA",
    "DigiCert Assured ID Root G2",
    "DigiCert Assured ID Root G3",
    "DigiCert Global Root CA",
    "DigiCert Global Root G2",
    "DigiCert Global Root G3",
    "DigiCert High Assurance EV Root CA",
    "DigiCert TLS ECC P384 Root G5",
    "DigiCert TLS RSA4096 Root G5",
    "DigiCert Trusted Root G4",
    "GTS Root R1",
    "GTS Root R2",
    "GTS Root R3",
    "GTS Root R4",
    "GlobalSign",
    "GlobalSign Root CA",
    "GlobalSign Root E46",
    "GlobalSign Root R46",
    "Go Daddy Root Certificate Authority - G2",
    "HARICA TLS ECC Root CA 2021",
    "HARICA TLS RSA Root CA 2021",
    "ISRG Root X1",
    "ISRG Root X2",
    "IdenTrust Commercial Root CA 1",
    "Microsoft ECC Root Certificate Authority 2017",
    "Microsoft RSA Root Certificate Authority 2017",
    "QuoVadis Root CA 1 G3",
    "QuoVadis Root CA 2 G3",
    "QuoVadis Root CA 3 G3",
    "SSL.com EV Root Certification Authority ECC",
    "SSL.com EV Root Certification Authority RSA R2",
    "SSL.com Root Certification Authority ECC",
    "SSL.com Root Certification Authority RSA",
    "Sectigo Public Server Authentication Root E46",
    "Sectigo Public Server Authentication Root R46",
    "Starfield Root Certificate Authority - G2",
    "Starfield Services Root Certificate Authority - G2",
    "SwissSign Gold CA - G2",
    "T-TeleSec GlobalRoot Class 2",
    "T-TeleSec GlobalRoot Class 3",
    "TWCA Global Root CA",
    "TWCA Root Certification Authority",
    "Telia Root CA v2",
    "USERTrust ECC Certification Authority",
    "USERTrust RSA Certification Authority",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_each_is_there_once() {
        assert!(KNOWN.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(is_known(&["R11".to_owned(), "ISRG Root X1".to_owned()]));
        assert!(!is_known(&["Test Authority".to_owned()]));
    }
}
