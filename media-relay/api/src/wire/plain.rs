//! Numbers, texts, lists and addresses as octets.

use crate::AddressRanges;

use super::{Reader, Wire, WireFault, Writer};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use zeroize::Zeroizing;

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Wire for $number {
            fn put(&self, out: &mut Writer) {
                out.push(&self.to_le_bytes());
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
                let octets = from.octets(size_of::<Self>())?;
                let octets = octets.try_into().map_err(|_| WireFault::Short)?;
                Ok(Self::from_le_bytes(octets))
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, f32);

impl Wire for usize {
    fn put(&self, out: &mut Writer) {
        u64::try_from(*self).unwrap_or(u64::MAX).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        Self::try_from(u64::take(from)?).map_err(|_| WireFault::Value("number"))
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Writer) {
        u8::from(*self).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireFault::Value("bool")),
        }
    }
}

impl Wire for String {
    fn put(&self, out: &mut Writer) {
        out.length(self.len());
        out.push(self.as_bytes());
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        let length = from.length()?;
        let text = std::str::from_utf8(from.octets(length)?);
        text.map(str::to_owned)
            .map_err(|_| WireFault::Value("text"))
    }
}

impl Wire for Cow<'static, str> {
    fn put(&self, out: &mut Writer) {
        out.length(self.len());
        out.push(self.as_bytes());
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        String::take(from).map(Cow::Owned)
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Writer) {
        out.length(self.len());
        self.iter().for_each(|item| item.put(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        let length = from.length()?;
        // An element may be much larger than its octets: room grows with what has been read. Octets are no larger, and
        // may be keys, of which a vector that grows would leave copies behind.
        let room = match size_of::<T>() {
            1 => length,
            _ => 0,
        };
        let mut all = Self::with_capacity(room);
        for _ in 0..length {
            all.push(T::take(from)?);
        }
        Ok(all)
    }
}

impl Wire for AddressRanges {
    fn put(&self, out: &mut Writer) {
        out.length(self.list().len());
        self.list().iter().for_each(|range| range.put(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        let written = Vec::<(IpAddr, IpAddr)>::take(from)?;
        let ranges = Self::of(written.iter().copied());
        // In order and apart: there is one way to write them.
        let is_own_form = ranges.list() == written;
        is_own_form
            .then_some(ranges)
            .ok_or(WireFault::Value("ranges"))
    }
}

impl<T: Wire, const N: usize> Wire for [T; N] {
    fn put(&self, out: &mut Writer) {
        self.iter().for_each(|item| item.put(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        let items: Vec<T> = (0..N).map(|_| T::take(from)).collect::<Result<_, _>>()?;
        items.try_into().map_err(|_| WireFault::Short)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Writer) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        match bool::take(from)? {
            true => T::take(from).map(Some),
            false => Ok(None),
        }
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, out: &mut Writer) {
        T::put(self, out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        T::take(from).map(Box::new)
    }
}

impl Wire for Box<[u8]> {
    fn put(&self, out: &mut Writer) {
        out.length(self.len());
        out.push(self);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        let length = from.length()?;
        from.octets(length).map(Into::into)
    }
}

/// As a list of octets.
impl Wire for Zeroizing<Vec<u8>> {
    fn put(&self, out: &mut Writer) {
        out.length(self.len());
        out.push(self);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        let length = from.length()?;
        Ok(Self::new(from.octets(length)?.to_vec()))
    }
}

impl<T: Wire> Wire for Arc<T> {
    fn put(&self, out: &mut Writer) {
        T::put(self, out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        T::take(from).map(Self::new)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Writer) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

impl Wire for IpAddr {
    fn put(&self, out: &mut Writer) {
        match self {
            Self::V4(address) => {
                out.push(&[4]);
                out.push(&address.octets());
            }
            Self::V6(address) => {
                out.push(&[6]);
                out.push(&address.octets());
            }
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        match u8::take(from)? {
            4 => <[u8; 4]>::take(from).map(|own| Self::V4(Ipv4Addr::from(own))),
            6 => <[u8; 16]>::take(from).map(|own| Self::V6(Ipv6Addr::from(own))),
            _ => Err(WireFault::Value("IP address")),
        }
    }
}

/// Without flow label and scope, which no description has.
impl Wire for SocketAddr {
    fn put(&self, out: &mut Writer) {
        self.ip().put(out);
        self.port().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        Ok(Self::new(IpAddr::take(from)?, u16::take(from)?))
    }
}
