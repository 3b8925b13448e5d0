//! A device that exists in memory only: two ends, one for the agent, one for the test that plays
//! the host. "Outbound" is from the host to the hub.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use dosp_proto::offload::{Offloads, VnetHeader};
use nix::errno::Errno;
use tokio::sync::Notify;

use super::TunDevice;

/// How many packets wait in each direction; as many as in the queue of a real device.
pub const CAPACITY: usize = 1000;

/// A pair that is connected.
#[must_use]
pub fn channel() -> (ChannelTun, ChannelTunPeer) {
    let (outbound, inbound) = (Arc::<Queue>::default(), Arc::<Queue>::default());
    let peer = ChannelTunPeer { outbound: Arc::clone(&outbound), inbound: Arc::clone(&inbound) };
    (ChannelTun { outbound, inbound, mtu: u16::MAX, refuses_super_packets: false }, peer)
}

/// The agent's end.
#[derive(Debug)]
pub struct ChannelTun {
    outbound: Arc<Queue>,
    inbound: Arc<Queue>,
    mtu: u16,
    refuses_super_packets: bool,
}

impl ChannelTun {
    /// The same, of a host whose links take packets of this length, in bytes.
    #[must_use]
    pub fn with_mtu(self, mtu: u16) -> Self {
        Self { mtu, ..self }
    }

    /// The same, of a kernel that says it takes super-packets, and does not.
    #[must_use]
    pub fn refusing_super_packets(self) -> Self {
        Self { refuses_super_packets: true, ..self }
    }
}

impl TunDevice for ChannelTun {
    async fn readable(&self) -> io::Result<()> {
        self.outbound.readable().await;
        Ok(())
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn offloads(&self) -> Offloads {
        Offloads::ALL
    }

    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<(VnetHeader, usize)> {
        let (header, packet) = self.outbound.pop().ok_or(io::ErrorKind::WouldBlock)?;
        let len = packet.len().min(buffer.len());
        if let (Some(room), Some(packet)) = (buffer.get_mut(..len), packet.get(..len)) {
            room.copy_from_slice(packet);
        }
        Ok((header, len))
    }

    fn try_send(&self, header: VnetHeader, packet: &[u8]) -> io::Result<()> {
        if self.refuses_super_packets && header.gso_type != 0 {
            return Err(Errno::EINVAL.into());
        }
        self.inbound.push(header, packet)
    }
}

/// The host's end.
#[derive(Debug)]
pub struct ChannelTunPeer {
    outbound: Arc<Queue>,
    inbound: Arc<Queue>,
}

impl ChannelTunPeer {
    /// Sends a packet as the host does.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the agent leaves [`CAPACITY`] packets unread.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.send_offloaded(VnetHeader::default(), packet)
    }

    /// The same for a packet that something is left to be done to.
    ///
    /// # Errors
    /// As above.
    pub fn send_offloaded(&self, header: VnetHeader, packet: &[u8]) -> io::Result<()> {
        self.outbound.push(header, packet)
    }

    /// Waits for a packet that the agent gives to the host.
    pub async fn recv(&self) -> Vec<u8> {
        self.recv_offloaded().await.1
    }

    /// The same, with what is left to be done to it.
    pub async fn recv_offloaded(&self) -> (VnetHeader, Vec<u8>) {
        loop {
            if let Some(packet) = self.inbound.pop() {
                return packet;
            }
            self.inbound.readable().await;
        }
    }

    /// A packet that the agent has given to the host, if there is one.
    #[must_use]
    pub fn try_recv(&self) -> Option<Vec<u8>> {
        self.inbound.pop().map(|(_, packet)| packet)
    }
}

#[derive(Debug, Default)]
struct Queue {
    packets: Mutex<VecDeque<(VnetHeader, Vec<u8>)>>,
    filled: Notify,
}

impl Queue {
    fn push(&self, header: VnetHeader, packet: &[u8]) -> io::Result<()> {
        let mut packets = self.packets.lock().unwrap_or_else(PoisonError::into_inner);
        if packets.len() >= CAPACITY {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        packets.push_back((header, packet.to_owned()));
        self.filled.notify_one();
        Ok(())
    }

    fn pop(&self) -> Option<(VnetHeader, Vec<u8>)> {
        self.packets.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn is_empty(&self) -> bool {
        self.packets.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    async fn readable(&self) {
        while self.is_empty() {
            self.filled.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn packets_pass_in_order_in_both_directions() {
        let (tun, host) = channel();
        let mut buffer = [0; 8];
        host.send(b"one").unwrap();
        host.send(b"two").unwrap();
        tun.readable().await.unwrap();
        assert_eq!((tun.try_recv(&mut buffer).unwrap().1, &buffer[..3]), (3, &b"one"[..]));
        assert_eq!((tun.try_recv(&mut buffer).unwrap().1, &buffer[..3]), (3, &b"two"[..]));
        assert_eq!(tun.try_recv(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        tun.try_send(VnetHeader::default(), b"three").unwrap();
        assert_eq!(host.recv().await, b"three");
        assert_eq!(host.try_recv(), None);
    }

    #[tokio::test]
    async fn reader_sleeps_until_a_packet_comes() {
        let (tun, host) = channel();
        let reader = tokio::spawn(async move { tun.readable().await });
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!reader.is_finished());
        host.send(b"x").unwrap();
        reader.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn full_device_takes_no_more_and_long_packets_are_cut() {
        let (tun, host) = channel();
        for _ in 0..CAPACITY {
            host.send(b"long packet").unwrap();
        }
        assert_eq!(host.send(b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(tun.try_recv(&mut [0; 4]).unwrap().1, 4);
        host.send(b"x").unwrap();
    }
}
