//! Other hubs: the networks behind them, which way leads there, and the keys that they have. **No I/O**
//! but for [`known_hubs`]' file.
//!
//! The links themselves are in `link`; what follows from them for everybody is in `state`.

pub mod known_hubs;
pub mod table;

use dosp_proto::identity::PublicKey;

/// Whether a new link takes the place of the one that there is with the same hub. If both hubs dialled,
/// the link dialled by the lower key stays, so that both decide alike; if one dialled twice, it knows
/// that the old one is dead. `keys` are ours and the other's, where it has one.
#[must_use]
pub fn keeps_new(
    keys: Option<(PublicKey, PublicKey)>,
    old_is_dialled: bool,
    new_is_dialled: bool,
) -> bool {
    let Some((own, other)) = keys.filter(|_| old_is_dialled != new_is_dialled) else { return true };
    new_is_dialled == (own < other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hubs_keep_the_same_link_whichever_comes_first() {
        let (low, high) = (PublicKey::from([1; 32]), PublicKey::from([2; 32]));
        let (at_low, at_high) = (Some((low, high)), Some((high, low)));
        // The one that the lower key dialled: dialled there, accepted at the other end.
        assert!(keeps_new(at_low, false, true) && keeps_new(at_high, true, false));
        assert!(!keeps_new(at_low, true, false) && !keeps_new(at_high, false, true));
    }

    #[test]
    fn who_dials_again_has_lost_the_old_one() {
        let keys = Some((PublicKey::from([1; 32]), PublicKey::from([2; 32])));
        assert!(keeps_new(keys, true, true) && keeps_new(keys, false, false));
    }
}
