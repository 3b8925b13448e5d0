//! One turn: packets in; then the link: timers, frames in, frames out.

use dosp_proto::frame::FrameType;

use super::command::{Listener, publish};
use super::connection::{Connection, LinkError};
use super::dialling::{Link, dialling};
use super::{Entry, LinkEnd, Message, Node, NodeError};
use crate::clock;
use crate::engine::{DropReason, Engine, Inbound};
use crate::host::Host;
use crate::link::Joined;
use crate::tun::{MAX_PACKET_LEN, TunDevice, TunWriter};
use rand::rngs::StdRng;

/// Packets taken from the TUN in one turn.
const MAX_PACKETS: usize = 64;
/// And their bytes, beyond which no other is begun.
const MAX_RECEIVED_LEN: usize = 256 * 1024;
/// Reads from the socket in one turn.
const MAX_READS: usize = 8;
/// The longest text of a hub that is shown.
const MAX_WORDS: usize = 200;

impl<T: TunDevice, H: Host> Node<T, H> {
    /// Takes what the host has to send, as much as is one turn's share.
    pub(super) fn recv_packets(&mut self) -> Result<(), NodeError<H::Error>> {
        let Some(tun) = &self.tun else { return Ok(()) };
        let mut received_len = 0;
        for _ in 0..MAX_PACKETS {
            if received_len >= MAX_RECEIVED_LEN {
                break;
            }
            let mut buffer = self.engine.buffer();
            match tun.try_recv(buffer.space(MAX_PACKET_LEN)) {
                Ok((header, len)) => {
                    received_len += len;
                    buffer.truncate(len);
                    self.engine.handle_packet(header, buffer, clock::now(), &mut self.rng);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.engine.recycle(buffer);
                    break;
                }
                Err(error) => return Err(NodeError::Tun(error)),
            }
        }
        Ok(())
    }

    /// Does what is to be done on the link now; returns a join that came through.
    pub(super) fn work_link(&mut self) -> Result<Option<Entry>, LinkEnd> {
        let instant = clock::instant();
        self.engine.handle_timeout(clock::now(), &mut self.rng);
        if matches!(&self.link, Link::Waiting { until } if *until <= instant) {
            self.link = Link::Dialling(dialling(&self.hubs));
        }
        let Link::Connected(connection) = &mut self.link else { return Ok(None) };
        if let Some(law) = connection.govern(instant) {
            self.engine.set_queue_law(law);
        }
        if connection.handle_timeout(instant)? {
            self.engine.ping_hub(instant);
        }
        connection.handle_join_timeout(instant).map_err(LinkEnd::NotJoined)?;
        let mut delivery = Delivery {
            engine: &mut self.engine,
            tun: self.tun.as_ref(),
            listeners: &mut self.listeners,
            rng: &mut self.rng,
            tun_writer: &mut self.tun_writer,
        };
        let mut joined = None;
        for _ in 0..MAX_READS {
            let more = connection.read(instant)?;
            joined = delivery.take_frames(connection)?;
            // Frames behind the join wait until the host is configured.
            if !more || joined.is_some() {
                break;
            }
        }
        if let (None, Some(join)) = (&joined, &mut connection.join) {
            // A join also comes through by waiting.
            joined = join.poll_joined();
        }
        let mut membership = None;
        if joined.is_some() {
            membership = connection.join.take().and_then(|mut join| join.take_membership());
        }
        delivery.answer_tun();
        connection.write(|batch, max_len| {
            delivery.engine.poll_transmit(batch, max_len, clock::now(), delivery.rng);
        })?;
        let Some(joined) = joined else { return Ok(None) };
        Ok(Some(Entry { joined, membership, hub: connection.hub_ip()? }))
    }
}

/// Where the content of frames goes.
struct Delivery<'n, T> {
    engine: &'n mut Engine,
    tun: Option<&'n T>,
    listeners: &'n mut Vec<Listener>,
    rng: &'n mut StdRng,
    tun_writer: &'n mut TunWriter,
}

impl<T: TunDevice> Delivery<'_, T> {
    fn take_frames(&mut self, connection: &mut Connection) -> Result<Option<Joined>, LinkEnd> {
        while let Some(frame) = connection.decoder.next_frame().map_err(LinkError::from)? {
            let frame_type = frame.frame_type();
            if let Some(join) = &mut connection.join {
                let now = clock::instant();
                join.handle_frame(frame_type, frame.body(), now, self.rng)
                    .map_err(LinkEnd::NotJoined)?;
                if let Some(joined) = join.poll_joined() {
                    return Ok(Some(joined));
                }
            } else if frame_type == FrameType::EXIT {
                return Err(LinkError::Exit(words(frame.body())).into());
            } else if frame_type == FrameType::PING && connection.stray_pongs > 0 {
                connection.stray_pongs -= 1;
            } else {
                let inbound = self.engine.handle_frame(frame, clock::now(), self.rng);
                let num_refused = self.deliver(inbound);
                self.engine.count_drops(DropReason::TunWrite, num_refused);
            }
        }
        Ok(None)
    }

    /// Returns how many packets the host did not take.
    fn deliver(&mut self, inbound: Inbound<'_>) -> usize {
        match (inbound, self.tun) {
            (Inbound::Packet(offload, packet), Some(tun)) => {
                self.tun_writer.write(tun, offload, packet)
            }
            (Inbound::Packets(packets), Some(tun)) => {
                packets.map(|packet| self.tun_writer.write_plain(tun, packet)).sum()
            }
            (Inbound::Message { from, version, data }, _) => {
                publish(
                    self.listeners,
                    &Message { from: Some(from), version, data: data.to_vec() },
                );
                0
            }
            (Inbound::Nothing | Inbound::Packet(..) | Inbound::Packets(_), _) => 0,
        }
    }

    /// Hands the engine's own packets to the local host.
    fn answer_tun(&mut self) {
        while let Some(packet) = self.engine.poll_tun() {
            let num_refused = self.tun.map_or(0, |tun| self.tun_writer.write_plain(tun, &packet));
            self.engine.count_drops(DropReason::TunWrite, num_refused);
        }
    }
}

/// The hub's own words, safe to print and bounded.
fn words(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().take(MAX_WORDS).flat_map(char::escape_debug).collect()
}
