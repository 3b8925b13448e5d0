//! The options of a connection that carries frames, and what its kernel knows of the path. Linux.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::congestion::{Algorithm, PathSample};
use crate::pace::MAX_UNSENT_LIMIT;

/// Idle connections are probed after this long, so that a NAT keeps them and a dead one shows.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// Time between two probes.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Lost probes that end a connection.
pub const KEEPALIVE_PROBES: u32 = 3;
/// Unacknowledged data ends a connection after this long: the probes above and a little; as long as
/// a hub may be silent.
pub const USER_TIMEOUT: Duration = Duration::from_secs(22);

/// Sets a connection up for frames: nothing waits to be joined with more, a dead one ends, and
/// little waits unsent in the kernel.
///
/// # Errors
/// What the system says: the connection broke, or the kernel is older than 3.12.
pub fn prepare(socket: &impl AsFd) -> io::Result<()> {
    let sock = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    sock.set_tcp_nodelay(true)?;
    sock.set_tcp_keepalive(&keepalive)?;
    sock.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    set_unsent_limit(socket, MAX_UNSENT_LIMIT)
}

/// Unsent bytes in the kernel above which the socket takes no more. What waits there can neither be
/// dropped nor overtaken, so it is kept short, and the queue with its rules stands before it.
///
/// # Errors
/// What the system says.
pub fn set_unsent_limit(socket: &impl AsFd, limit: u32) -> io::Result<()> {
    SockRef::from(socket).set_tcp_notsent_lowat(limit)
}

/// Bytes per second that the kernel sends at most; `None` for as many as its congestion control likes.
///
/// # Errors
/// What the system says.
#[expect(unsafe_code, reason = "no crate of ours sets SO_MAX_PACING_RATE")]
pub fn set_max_pacing_rate(socket: &impl AsFd, rate: Option<u64>) -> io::Result<()> {
    // All bits set is no limit. Since Linux 4.20 it is as long as a pointer.
    let rate = rate.map_or(usize::MAX, |rate| usize::try_from(rate).unwrap_or(usize::MAX));
    let len = libc::socklen_t::try_from(size_of_val(&rate)).unwrap_or_default();
    // SAFETY: `rate` is valid for `len` bytes, the descriptor is open while `socket` is borrowed, and
    // the kernel keeps no pointer.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MAX_PACING_RATE,
            (&raw const rate).cast(),
            len,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the kernel end the connection with a reset when it is closed, and forget what it still had to
/// send: the other end then knows of it at once.
///
/// # Errors
/// What the system says.
pub fn reset_on_close(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// Sends `bytes`, as far as the socket takes them at once, as a chunk that the kernel does not join
/// with the next one. It would make buffers of 64 KiB of them, and put two of these at least into the
/// queue of the interface (`tcp_small_queue_check`), where nothing can overtake them either: 10 ms at
/// 100 Mbit/s.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`], and what else the system says.
pub fn send_chunk(socket: &impl AsFd, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
    SockRef::from(socket).send_vectored_with_flags(bytes, libc::MSG_EOR | libc::MSG_NOSIGNAL)
}

/// Changes the congestion control of a connection, at any time.
///
/// # Errors
/// `ENOENT` where the kernel does not have it; `EPERM` where it is not in
/// `net.ipv4.tcp_allowed_congestion_control` and the process lacks `CAP_NET_ADMIN`.
pub fn set_congestion(socket: &impl AsFd, algorithm: Algorithm) -> io::Result<()> {
    SockRef::from(socket).set_tcp_congestion(algorithm.name().as_bytes())
}

/// The name of the congestion control of a connection.
///
/// # Errors
/// What the system says.
pub fn congestion(socket: &impl AsFd) -> io::Result<String> {
    let name = SockRef::from(socket).tcp_congestion()?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// What the kernel knows of the path of a connection.
///
/// # Errors
/// What the system says; `Unsupported` where the kernel is older than 4.6 and tells no shortest
/// round trip.
pub fn path_sample(socket: &impl AsFd) -> io::Result<PathSample> {
    let mut info = [0; TCP_INFO_LEN];
    let len = read_tcp_info(socket, &mut info)?;
    let info = info.get(..len).unwrap_or_default();
    parse_tcp_info(info).ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// As much of `struct tcp_info` of `linux/tcp.h` as is read. It has only ever grown at its end, so
/// where a field stands is the kernel's promise.
const TCP_INFO_LEN: usize = 168;
const APP_LIMITED_AT: usize = 7;
const RTT_AT: usize = 68;
const TOTAL_RETRANS_AT: usize = 100;
const BYTES_ACKED_AT: usize = 120;
const MIN_RTT_AT: usize = 148;
const DATA_SEGS_OUT_AT: usize = 156;
const DELIVERY_RATE_AT: usize = 160;
/// The shortest round trip of a connection that has none yet (`tcp_min_rtt` begins with all ones).
const NO_RTT: u32 = u32::MAX;

/// `None` where the kernel gave too little.
fn parse_tcp_info(info: &[u8]) -> Option<PathSample> {
    let min_rtt = word(info, MIN_RTT_AT)?;
    let rate = long_word(info, DELIVERY_RATE_AT);
    let micros = |micros: u32| Duration::from_micros(micros.into());
    Some(PathSample {
        min_rtt: micros(if min_rtt == NO_RTT { 0 } else { min_rtt }),
        rtt: micros(word(info, RTT_AT)?),
        sent_segments: word(info, DATA_SEGS_OUT_AT)?,
        retransmitted_segments: word(info, TOTAL_RETRANS_AT)?,
        delivery_rate: rate.filter(|rate| *rate > 0),
        is_app_limited: info.get(APP_LIMITED_AT)? & 1 == 1,
        acked_len: long_word(info, BYTES_ACKED_AT),
    })
}

fn word(info: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*info.get(at..)?.first_chunk()?))
}

fn long_word(info: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*info.get(at..)?.first_chunk()?))
}

/// Returns how many bytes the kernel filled.
#[expect(unsafe_code, reason = "no crate of ours reads TCP_INFO with its newer fields")]
fn read_tcp_info(socket: &impl AsFd, info: &mut [u8; TCP_INFO_LEN]) -> io::Result<usize> {
    let mut len = libc::socklen_t::try_from(info.len()).unwrap_or_default();
    // SAFETY: `info` is valid for `len` bytes and any bytes are valid in it, `len` is valid too,
    // the descriptor is open while `socket` is borrowed, and the kernel keeps no pointer.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(len).unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    /// Both ends of a connection over loopback.
    pub(crate) fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    /// Carries so many bytes from end to end.
    pub(crate) fn carry(near: &mut TcpStream, far: &mut TcpStream, len: usize) {
        let mut read = vec![0; len];
        std::thread::scope(|scope| {
            scope.spawn(|| near.write_all(&vec![1; len]).unwrap());
            far.read_exact(&mut read).unwrap();
        });
    }

    #[test]
    fn connection_is_set_up_for_frames() {
        let (near, _far) = connection();
        prepare(&near).unwrap();
        let sock = SockRef::from(&near);
        assert!(sock.tcp_nodelay().unwrap() && sock.keepalive().unwrap());
        assert_eq!(sock.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        assert_eq!(sock.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(sock.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        assert_eq!(sock.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        assert_eq!(sock.tcp_notsent_lowat().unwrap(), MAX_UNSENT_LIMIT);
        set_unsent_limit(&near, 8192).unwrap();
        assert_eq!(sock.tcp_notsent_lowat().unwrap(), 8192);
    }

    #[test]
    fn connection_that_is_reset_ends_with_an_error_at_the_other_end() {
        let (near, mut far) = connection();
        reset_on_close(&near).unwrap();
        drop(near);
        let error = far.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn sample_tells_what_was_sent() {
        let (mut near, mut far) = connection();
        let before = path_sample(&near).unwrap();
        assert_eq!(before.sent_segments, 0);
        carry(&mut near, &mut far, 10 << 20);
        let after = path_sample(&near).unwrap();
        assert!(after.sent_segments > 100, "{after:?}");
        assert!(after.delivery_rate.unwrap() > 1_000_000, "{after:?}");
        assert!(after.min_rtt > Duration::ZERO && after.min_rtt <= after.rtt, "{after:?}");
        assert!(after.rtt < Duration::from_secs(1), "{after:?}");
    }

    #[test]
    fn kernel_that_tells_less_is_read_as_far_as_it_goes() {
        let mut info = [0; TCP_INFO_LEN];
        info[DELIVERY_RATE_AT] = 9;
        info[MIN_RTT_AT..MIN_RTT_AT + 4].fill(0xFF);
        assert_eq!(
            parse_tcp_info(&info).unwrap().delivery_rate,
            Some(u64::from_ne_bytes([9, 0, 0, 0, 0, 0, 0, 0]))
        );
        assert_eq!(parse_tcp_info(&info).unwrap().min_rtt, Duration::ZERO);
        assert_eq!(parse_tcp_info(&info[..DELIVERY_RATE_AT]).unwrap().delivery_rate, None);
        for len in 0..DELIVERY_RATE_AT {
            assert_eq!(parse_tcp_info(&info[..len]), None);
        }
    }

    #[test]
    fn congestion_control_can_be_changed_and_read() {
        let (near, _far) = connection();
        let before = congestion(&near).unwrap();
        assert!(before.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{before:?}");
        for algorithm in [Algorithm::Cubic, Algorithm::Bbr] {
            match set_congestion(&near, algorithm) {
                Ok(()) => assert_eq!(congestion(&near).unwrap(), algorithm.name()),
                // This machine lacks it, or does not allow it.
                Err(error) => assert!(
                    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EPERM)),
                    "{error}"
                ),
            }
        }
    }

    #[test]
    fn socket_that_is_no_connection_is_an_error() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        path_sample(&socket).unwrap_err();
        congestion(&socket).unwrap_err();
        set_congestion(&socket, Algorithm::Cubic).unwrap_err();
        prepare(&socket).unwrap_err();
    }
}
