use super::*;

#[test]
fn ended_sessions_leave_nothing_in_any_table() {
    let config = Config { network: "10.7.0.0/16".parse().unwrap(), ..Config::default() };
    let hub = Hub::new(config.network, config.max_clients);
    let federation = open_federation(&config, None).unwrap();
    let shared = Arc::new(Shared::new(&config, hub, None, federation));
    let addr = "192.0.2.1:5000".parse().unwrap();
    let seats: Vec<_> = (0..1000).map(|_| shared.admit(addr).unwrap()).collect();
    assert_eq!((shared.num_sessions(), shared.outboxes().len()), (1000, 1000));
    let outboxes: Vec<_> = seats.iter().map(|seat| Arc::downgrade(&seat.outbox)).collect();
    for (number, seat) in seats.into_iter().enumerate() {
        let vip = seat.vip.get();
        match number % 3 {
            0 => seat.leave(),
            1 => shared.replace(seat.id),
            _ => {}
        }
        drop(seat);
        assert!(shared.lookup(vip).is_none());
    }
    assert_eq!((shared.num_sessions(), shared.outboxes().len()), (0, 0));
    assert!(outboxes.iter().all(|outbox| outbox.strong_count() == 0), "somebody holds a queue");
}
