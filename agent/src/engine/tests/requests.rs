//! What is asked of the hub itself.

use dosp_proto::frame::FrameType;
use dosp_proto::message::{Hsk, HskFlag};

use super::net::Net;
use super::{network, plain_frame, vip};
use crate::engine::{ANSWER_TIMEOUT, CALL_TIMEOUT, Event, HubAnswer, HubRequest, RequestError};

const PONG_OF_0_1: [u8; 9] = [0; 9];

fn ask(net: &mut Net, ticket: u64, request: HubRequest) -> Result<(), RequestError> {
    let now = net.instant;
    let outcome = net.nodes[0].engine.ask_hub(ticket, &request, now);
    net.pump(0);
    outcome
}

fn call(net: &mut Net, ticket: u64) {
    ask(net, ticket, HubRequest::Call("time".to_owned())).unwrap();
}

fn give(net: &mut Net, frame_type: FrameType, body: &[u8]) {
    net.give(0, &plain_frame(frame_type, body));
}

fn refused(words: &str) -> Result<HubAnswer, RequestError> {
    Err(RequestError::Refused(words.to_owned()))
}

/// A node at a hub that greets like the published one of this version.
fn at_published(version: u32) -> Net {
    let mut net = Net::new(1);
    net.link_down(0);
    net.hub.hsk = Hsk { flag: HskFlag::Off, version: Some(version), token: 0 };
    net.link_up(0, vip(0));
    net
}

#[test]
fn answers_reach_those_who_asked_in_their_order() {
    let mut net = Net::new(1);
    ask(&mut net, 1, HubRequest::Clients).unwrap();
    call(&mut net, 2);
    call(&mut net, 3);
    net.run_ms(10);
    let mut asked = vec![(FrameType::GCL, Vec::new()), (FrameType::FN, b"time".to_vec())];
    assert_eq!(net.hub.asked, asked, "functions may overtake each other: one at a time");
    give(&mut net, FrameType::GCL, &[vip(1).octets(), vip(0).octets()].concat());
    give(&mut net, FrameType::SA, b"noon");
    net.run_ms(10);
    asked.push((FrameType::FN, b"time".to_vec()));
    assert_eq!(net.hub.asked, asked);
    give(&mut net, FrameType::ERR, b"\x02it is late");
    let answers = [
        Event::HubAnswered(1, Ok(HubAnswer::Clients(vec![vip(0), vip(1)]))),
        Event::HubAnswered(2, Ok(HubAnswer::Returned(b"noon".to_vec()))),
        Event::HubAnswered(3, refused("the function failed: it is late")),
    ];
    assert_eq!(net.nodes[0].events, answers);
}

#[test]
fn info_is_read_and_asked_of_our_hubs_only() {
    let mut net = Net::new(1);
    ask(&mut net, 1, HubRequest::Info).unwrap();
    let body = format!(
        r#"{{"vip":"{}","network":"{}","uptime_s":1,"rx_frames":2,"tx_frames":3,"admin":true,"new":1}}"#,
        vip(0),
        network()
    );
    give(&mut net, FrameType::GSI, body.as_bytes());
    let Some(Event::HubAnswered(1, Ok(HubAnswer::Info(info)))) = net.nodes[0].events.pop() else {
        panic!("no answer");
    };
    assert_eq!((info.vip, info.rx_frames, info.admin), (vip(0), 2, true));
    ask(&mut net, 2, HubRequest::Info).unwrap();
    give(&mut net, FrameType::GSI, b"hello");
    let malformed = net.nodes[0].events.pop();
    assert!(matches!(malformed, Some(Event::HubAnswered(2, Err(RequestError::Malformed(_))))));
    for version in [1, 2] {
        let mut net = at_published(version);
        assert_eq!(ask(&mut net, 3, HubRequest::Info), Err(RequestError::NoInfo));
        net.run_ms(100);
        assert!(net.hub.asked.is_empty(), "published hubs are not asked");
    }
}

#[test]
fn errors_belong_to_the_request_that_they_are_about() {
    let mut net = Net::new(1);
    ask(&mut net, 1, HubRequest::Clients).unwrap();
    call(&mut net, 2);
    give(&mut net, FrameType::ERR, &[9, FrameType::FN.0]);
    give(&mut net, FrameType::ERR, &[9, 0x42]);
    give(&mut net, FrameType::ERR, b"\x07none left\x1b");
    give(&mut net, FrameType::GCL, b"abc");
    let events = std::mem::take(&mut net.nodes[0].events);
    assert_eq!(events[0], Event::HubAnswered(2, refused("it does not know FN")));
    assert_eq!(events[1], Event::HubError("it does not know 0x42".to_owned()));
    let words = "no vIP could be assigned: none left\\u{1b}".to_owned();
    assert_eq!(events[2], Event::HubError(words));
    assert!(matches!(events[3], Event::HubAnswered(1, Err(RequestError::Malformed(_)))));
}

#[test]
fn published_hubs_say_no_in_text_or_in_a_bare_code() {
    let mut net = at_published(2);
    call(&mut net, 1);
    call(&mut net, 2);
    give(&mut net, FrameType::ERR, b"Not enabled");
    give(&mut net, FrameType::ERR, &[9]);
    give(&mut net, FrameType::ERR, b"Packet too large");
    let said = [
        Event::HubAnswered(1, refused("Not enabled")),
        Event::HubAnswered(2, refused("it does not know this request")),
        Event::HubError("Packet too large".to_owned()),
    ];
    assert_eq!(net.nodes[0].events, said);
}

#[test]
fn pong_of_a_hub_of_0_1_is_an_error_of_nine_zeros() {
    let mut net = at_published(1);
    let now = net.instant;
    call(&mut net, 1);
    net.nodes[0].engine.send_plain(2, vip(1), b"x", now).unwrap();
    net.pump(0);
    give(&mut net, FrameType::ERR, &PONG_OF_0_1);
    assert_eq!(net.nodes[0].events, [Event::MessageSent(2)]);
    net.link_down(0);
    net.hub.hsk = Hsk::OURS;
    net.link_up(0, vip(0));
    net.nodes[0].events.clear();
    give(&mut net, FrameType::ERR, &PONG_OF_0_1);
    assert!(matches!(net.nodes[0].events[..], [Event::HubError(_)]), "ours knows PING");
}

#[test]
fn silent_hub_is_given_five_seconds_and_a_late_answer_goes_to_nobody() {
    let mut net = at_published(2);
    call(&mut net, 1);
    ask(&mut net, 2, HubRequest::Clients).unwrap();
    net.run_ms(4_999);
    assert!(net.nodes[0].events.is_empty());
    net.run_ms(2);
    let timed_out = RequestError::TimedOut { after: ANSWER_TIMEOUT };
    let timed_out = [1, 2].map(|ticket| Event::HubAnswered(ticket, Err(timed_out.clone())));
    assert_eq!(net.nodes[0].events, timed_out);
    net.nodes[0].events.clear();
    call(&mut net, 3);
    give(&mut net, FrameType::GCL, &[]);
    give(&mut net, FrameType::SA, b"late");
    assert!(net.nodes[0].events.is_empty());
    give(&mut net, FrameType::SA, b"in time");
    let answer = Event::HubAnswered(3, Ok(HubAnswer::Returned(b"in time".to_vec())));
    assert_eq!(net.nodes[0].events, [answer]);
}

#[test]
fn function_of_our_hub_may_take_as_long_as_the_hub_lets_it() {
    let mut net = Net::new(1);
    call(&mut net, 1);
    net.run_ms(1_000);
    call(&mut net, 2);
    net.run_ms(303_999);
    assert!(net.nodes[0].events.is_empty());
    net.run_ms(1_001);
    let timed_out = RequestError::TimedOut { after: CALL_TIMEOUT };
    let timed_out = [1, 2].map(|ticket| Event::HubAnswered(ticket, Err(timed_out.clone())));
    assert_eq!(net.nodes[0].events, timed_out);
    call(&mut net, 3);
    net.run_ms(10);
    assert_eq!(net.hub.asked.len(), 1, "the first one may still be running");
    give(&mut net, FrameType::SA, b"late");
    net.run_ms(10);
    assert_eq!(net.hub.asked.len(), 2, "the second one was never called");
}

#[test]
fn requests_are_bounded_and_end_with_the_link() {
    let mut net = Net::new(1);
    (0..64).for_each(|ticket| call(&mut net, ticket));
    assert_eq!(ask(&mut net, 64, HubRequest::Clients), Err(RequestError::Busy));
    net.link_down(0);
    let lost = (0..64).map(|ticket| Event::HubAnswered(ticket, Err(RequestError::LinkLost)));
    assert_eq!(net.nodes[0].events, lost.collect::<Vec<_>>());
    assert_eq!(ask(&mut net, 65, HubRequest::Clients), Err(RequestError::NotConnected));
}
