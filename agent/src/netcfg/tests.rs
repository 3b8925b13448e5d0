use super::*;

fn route(addr: [u8; 4], prefix_len: u8, table: u8) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.destination_prefix_length = prefix_len;
    route.header.table = table;
    let addr = RouteAddress::Inet(Ipv4Addr::from(addr));
    route.attributes.push(RouteAttribute::Destination(addr));
    route
}

#[test]
fn routes_that_share_addresses_with_the_network_are_in_its_way() {
    for (addr, prefix_len, overlaps) in [
        ([7, 10, 0, 0], 24, true),
        ([7, 10, 0, 128], 25, true),
        ([7, 10, 0, 5], 32, true),
        ([7, 0, 0, 0], 8, true),
        ([7, 10, 1, 0], 24, false),
        ([7, 10, 1, 5], 32, false),
        ([10, 0, 0, 0], 8, false),
        ([0, 0, 0, 0], 0, false),
        ([0, 0, 0, 0], 1, false),
    ] {
        let found = overlapping_prefix(&route(addr, prefix_len, 254), Network::DEFAULT);
        assert_eq!(found.is_some(), overlaps, "{addr:?}/{prefix_len}");
    }
}

#[test]
fn routes_of_every_table_but_local_count() {
    let of_table = |table| overlapping_prefix(&route([7, 10, 0, 0], 24, table), Network::DEFAULT);
    assert!(of_table(254).is_some() && of_table(100).is_some());
    assert_eq!(of_table(255), None);
    let mut high = route([7, 10, 0, 0], 24, 252);
    high.attributes.push(RouteAttribute::Table(51820));
    assert!(overlapping_prefix(&high, Network::DEFAULT).is_some());
}

#[test]
fn conflicts_are_shown_in_words() {
    let addr = Ipv4Addr::new(7, 10, 0, 0);
    let interface = Some("eth0".to_owned());
    let route = Conflict::Route { addr, prefix_len: 24, interface };
    assert_eq!(route.to_string(), "the route 7.10.0.0/24 over eth0");
    assert_eq!(Conflict::Hub { addr }.to_string(), "the hub's own address 7.10.0.0");
}
