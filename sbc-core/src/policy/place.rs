//! What a call for help says of its place: how that was found, and under which numbers who helps calls
//! back (TDR-EMG-004, TDR-EMG-005, SIP-1402).
//!
//! Only what a trusted peer sends is read, and nothing that is wrong with it is in the way of the call: a
//! location that we cannot read passes as it came, because whoever helps may, and numbers are then those
//! of the configuration.

use crate::cause::Because;
use crate::config::Tenant;
use crate::pidf::{self, Location, xml::Fault};
use crate::policy::emergency::is_location;
use crate::policy::ingress::Ingress;
use crate::sip::{Message, body};
use std::time::Duration;

/// The place of a call for help.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// How it was found, in capitals.
    pub method: Option<String>,
    /// What is wrong with the location, if it has one that cannot be read.
    pub fault: Option<Fault>,
    /// Numbers of the place, all the customer's.
    pub numbers: Vec<String>,
    /// For how long after the call its caller is found under one of them.
    pub keep: Duration,
    /// Where they come from, and what is against others.
    pub because: Because,
}

impl Place {
    /// Of a call of this customer with this number.
    pub fn of(
        tenant: Option<&Tenant>,
        ingress: &Ingress,
        message: &Message,
        calling: &str,
    ) -> Self {
        let mut place = Self::default();
        let location = match ingress.trunk.trusted {
            true => place.read(message),
            false => Location::default(),
        };
        place.method = location.method;
        let Some(tenant) = tenant else {
            return place;
        };
        place.keep = tenant.elin_callback;
        if tenant.elin_from_location {
            for number in location.numbers {
                place.offer(tenant, &number);
            }
        }
        if place.numbers.is_empty() {
            let mut own = tenant.elins.iter();
            let own = own.find(|own| own.is_of(calling, &ingress.trunk.name));
            place.numbers = own.map(|own| own.numbers.clone()).unwrap_or_default();
        }
        place
    }

    /// The first location of the message that can be read.
    fn read(&mut self, message: &Message) -> Location {
        let parts = body::parts(message).unwrap_or_default();
        for part in parts.iter().filter(|part| is_location(part)) {
            match pidf::read(&part.content) {
                Ok(location) => {
                    self.fault = None;
                    return location;
                }
                Err(fault) => {
                    self.fault.get_or_insert(fault);
                }
            }
        }
        Location::default()
    }

    /// Takes a number that a location names, if calls to it come to the customer: another one would call
    /// back somebody else. It may be written without its `+`.
    fn offer(&mut self, tenant: &Tenant, number: &str) {
        let full = match number.starts_with('+') {
            true => number.to_owned(),
            false => format!("+{number}"),
        };
        // Or as it is dialled at home (TDR-EMG-005).
        let owned = Some(full).filter(|full| tenant.owns(full));
        if let Some(own) = owned.or_else(|| tenant.owned_ending(number)) {
            return self.numbers.push(own);
        }
        let text = format!("its location names {number}, which is no number of its tenant");
        self.because.0.push(text);
    }
}
