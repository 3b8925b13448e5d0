//! A client that is a member: its handshake, and what is sealed after it.

use dosp_proto::frame::{self, FrameType};
use dosp_proto::identity::{IdentityKey, PublicKey};
use dosp_proto::join_string::{JoinKey, JoinString};
use dosp_proto::member::{Channel, Control, Dialler, Join, Purpose, Refused, Welcome};
use dosp_proto::message::{Aip, Hsk};
use dosp_proto::vip::Vip;
use dosp_server::HubHandle;
use dosp_server::control::wire::Reply;
use dosp_server::members::command::{MembersReply, MembersRequest};
use rand::rngs::StdRng;
use tokio::net::TcpStream;

use crate::client::Client;

pub(crate) fn identity() -> IdentityKey {
    IdentityKey::generate(&mut rand::make_rng::<StdRng>())
}

/// A join that shows a key.
pub(crate) fn with_key(key: &JoinKey) -> Join {
    Join { join_key: Some(key.clone()), ..Join::default() }
}

/// Asks what a person may ask.
pub(crate) async fn manage(hub: &HubHandle, request: MembersRequest) -> MembersReply {
    match hub.members(request).await {
        Reply::Members(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// The join key of a new invite, for so many nodes.
pub(crate) async fn invite(hub: &HubHandle, uses: u32) -> JoinKey {
    let request = MembersRequest::Invite { name: None, vip: None, uses, ttl_s: None };
    match manage(hub, request).await {
        MembersReply::Invited(invited) => {
            invited.join_string.parse::<JoinString>().unwrap().join_key.unwrap()
        }
        other => panic!("{other:?}"),
    }
}

/// A connection whose two sides know each other's key.
pub(crate) struct Introduced {
    pub(crate) client: Client,
    pub(crate) channel: Channel,
    pub(crate) hub_key: PublicKey,
}

impl Introduced {
    pub(crate) async fn over(socket: TcpStream, identity: &IdentityKey) -> Self {
        let mut client = Client::speechless(socket);
        let greeting = read_greeting(&mut client).await;
        let mut rng: StdRng = rand::make_rng();
        let (dialler, first) =
            Dialler::start(Purpose::Join, identity, &greeting, &mut rng).unwrap();
        client.send_bytes(&first).await;
        let (frame_type, second) = client.recv().await;
        assert_eq!(frame_type, FrameType::XHS, "{}", second.escape_ascii());
        let introduced = dialler.read_answer(identity, &second).unwrap();
        let hub_key = *introduced.hub_key();
        let (third, channel) = introduced.finish().unwrap();
        client.send_bytes(&third).await;
        Self { client, channel, hub_key }
    }

    pub(crate) async fn say(&mut self, word: &Control) {
        let mut frame = Vec::new();
        self.channel.sealer.seal(word, &mut frame);
        self.client.send_bytes(&frame).await;
    }

    /// The next sealed word; `None` where the hub closes first.
    pub(crate) async fn hear(&mut self) -> Option<Control> {
        match self.client.next().await? {
            (FrameType::XCTL, body) => Some(self.channel.opener.open(&body).unwrap()),
            (FrameType::EXIT, _) => None,
            (other, body) => panic!("{other} {}", body.escape_ascii()),
        }
    }

    /// Joins, and says what the hub says.
    pub(crate) async fn join(mut self, join: Join) -> Result<Member, Refused> {
        self.say(&Control::Join(Box::new(join))).await;
        loop {
            match self.hear().await.unwrap() {
                Control::Welcome(welcome) => {
                    return Ok(Member { link: self, welcome: *welcome });
                }
                Control::Refused(refused) => return Err(refused),
                Control::Ping => self.say(&Control::Pong).await,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// AIP and HSK of a hub that has members, whole frames.
pub(crate) async fn read_greeting(client: &mut Client) -> Vec<u8> {
    let mut greeting = Vec::new();
    let (frame_type, body) = client.recv().await;
    assert_eq!(frame_type, FrameType::AIP);
    client.vip = Aip::decode(&body).unwrap().0;
    frame::encode(&mut greeting, frame_type, &body);
    let (frame_type, body) = client.recv().await;
    assert_eq!((frame_type, Hsk::decode(&body).token), (FrameType::HSK, Hsk::DOSP_NET));
    frame::encode(&mut greeting, frame_type, &body);
    greeting
}

/// A member that is in.
pub(crate) struct Member {
    pub(crate) link: Introduced,
    pub(crate) welcome: Welcome,
}

impl Member {
    pub(crate) fn vip(&self) -> Vip {
        self.welcome.vip
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.welcome.name.as_ref().map(|name| name.as_str())
    }

    /// The next word that `wanted` takes; the hub's probes are answered meanwhile.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(Control) -> Option<T>) -> T {
        loop {
            let word = self.link.hear().await.unwrap();
            if word == Control::Ping {
                self.link.say(&Control::Pong).await;
            } else if let Some(found) = wanted(word) {
                return found;
            }
        }
    }

    /// DATA of the next S2C frame.
    pub(crate) async fn recv_data(&mut self) -> Vec<u8> {
        loop {
            match self.link.client.recv().await {
                (FrameType::S2C, body) => return body[8..].to_vec(),
                (FrameType::XCTL, body) => drop(self.link.channel.opener.open(&body).unwrap()),
                (other, _) => panic!("{other}"),
            }
        }
    }
}
