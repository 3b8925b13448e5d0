//! SD: what a hub tells another of the networks that it can reach.
//!
//! ```text
//! ├ version 01 ┼ count ┼ then per entry:
//! ├ len ┼ host ┼ port u16 ┼ len ┼ template ┼ hop count ┤
//! ```

use crate::frame::{self, FrameType};

const VERSION: u8 = 1;

/// One network and the hub that leads there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where that hub can be dialled: a name or an address, as its operator wrote it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The network, as a template; not checked.
    pub template: String,
    /// How many hubs lie between: 0 for the sender's own network.
    pub num_hops: u8,
}

/// All that one hub tells at a time: it replaces what it told before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertisement(pub Vec<Route>);

/// A body that is no advertisement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeSdError {
    /// Another format.
    #[error("SD of version {0} is not known")]
    Version(u8),
    /// It ends within an entry.
    #[error("SD ends too early")]
    Truncated,
    /// A host or template that is no text.
    #[error("SD holds a text that is not UTF-8")]
    Text(#[from] std::str::Utf8Error),
}

/// An advertisement that does not fit its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeSdError {
    /// More entries than a byte counts.
    #[error("SD has no room for {0} routes")]
    TooManyRoutes(usize),
    /// A longer text than a byte counts.
    #[error("SD has no room for a text of {0} bytes")]
    TextTooLong(usize),
}

impl Advertisement {
    /// Appends the whole frame. Where that fails, `out` is as it was before.
    ///
    /// # Errors
    /// [`EncodeSdError`].
    pub fn encode_to(&self, out: &mut Vec<u8>) -> Result<(), EncodeSdError> {
        let num_routes = u8::try_from(self.0.len());
        let num_routes = num_routes.map_err(|_| EncodeSdError::TooManyRoutes(self.0.len()))?;
        frame::encode_with(out, FrameType::SD, |out| {
            out.extend_from_slice(&[VERSION, num_routes]);
            for route in &self.0 {
                encode_text(out, &route.host)?;
                out.extend_from_slice(&route.port.to_be_bytes());
                encode_text(out, &route.template)?;
                out.push(route.num_hops);
            }
            Ok(())
        })
    }

    /// Reads a body. What stands behind the last entry is ignored, as published hubs do.
    ///
    /// # Errors
    /// [`DecodeSdError`].
    pub fn decode(body: &[u8]) -> Result<Self, DecodeSdError> {
        let mut body = Body(body);
        let [version, num_routes] = body.take()?;
        if version != VERSION {
            return Err(DecodeSdError::Version(version));
        }
        let routes = (0..num_routes).map(|_| {
            let host = body.take_text()?;
            let port = u16::from_be_bytes(body.take()?);
            let template = body.take_text()?;
            let [num_hops] = body.take()?;
            Ok(Route { host, port, template, num_hops })
        });
        Ok(Self(routes.collect::<Result<_, DecodeSdError>>()?))
    }
}

fn encode_text(out: &mut Vec<u8>, text: &str) -> Result<(), EncodeSdError> {
    let len = u8::try_from(text.len()).map_err(|_| EncodeSdError::TextTooLong(text.len()))?;
    out.push(len);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// What has not been read yet.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeSdError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeSdError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn take_text(&mut self) -> Result<String, DecodeSdError> {
        let [len] = self.take()?;
        let taken = self.0.split_at_checked(len.into()).ok_or(DecodeSdError::Truncated)?;
        self.0 = taken.1;
        Ok(std::str::from_utf8(taken.0)?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::HEADER_LEN;
    use proptest::prelude::*;

    #[test]
    fn what_does_not_fit_leaves_the_output_as_it_was() {
        let route = |host: String| Route { host, port: 1, template: String::new(), num_hops: 0 };
        let mut out = b"before".to_vec();
        let long = Advertisement(vec![route("a".into()), route("b".repeat(256))]);
        assert_eq!(long.encode_to(&mut out), Err(EncodeSdError::TextTooLong(256)));
        let many = Advertisement(vec![route("a".into()); 256]);
        assert_eq!(many.encode_to(&mut out), Err(EncodeSdError::TooManyRoutes(256)));
        assert_eq!(out, b"before");
    }

    #[test]
    fn other_versions_and_texts_are_refused() {
        assert_eq!(Advertisement::decode(b"\x02\0"), Err(DecodeSdError::Version(2)));
        assert_eq!(Advertisement::decode(b"\x01"), Err(DecodeSdError::Truncated));
        let error = Advertisement::decode(b"\x01\x01\x01\xff\0\0\0\0").unwrap_err();
        assert!(matches!(error, DecodeSdError::Text(_)));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_and_no_part_of_it_does(
            routes in prop::collection::vec((".{0,20}", any::<u16>(), ".{0,20}", any::<u8>()), 1..10)
        ) {
            let routes = routes.into_iter().map(|(host, port, template, num_hops)| {
                Route { host, port, template, num_hops }
            });
            let advertisement = Advertisement(routes.collect());
            let mut out = Vec::new();
            advertisement.encode_to(&mut out).unwrap();
            let body = &out[HEADER_LEN..];
            prop_assert_eq!(Advertisement::decode(body), Ok(advertisement));
            for len in 0..body.len() {
                prop_assert_eq!(Advertisement::decode(&body[..len]), Err(DecodeSdError::Truncated));
            }
        }

        #[test]
        fn any_bytes_are_an_advertisement_or_an_error(
            mut body in prop::collection::vec(any::<u8>(), 2..300)
        ) {
            body[0] = VERSION;
            if let Ok(advertisement) = Advertisement::decode(&body) {
                prop_assert_eq!(advertisement.0.len(), usize::from(body[1]));
            }
        }
    }
}
