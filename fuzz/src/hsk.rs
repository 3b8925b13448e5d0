//! The bodies of control frames: any bytes are read or refused, and what was read can be written.

use dosp_proto::frame::HEADER_LEN;
use dosp_proto::message::{
    Aip, ClientHash, ClientList, ErrorReport, Hsk, SessionInfo, VipAnswer, VipRequest,
};

pub fn run(body: &[u8]) {
    let hsk = Hsk::decode(body);
    if hsk.version.is_some() {
        assert_eq!(Hsk::decode(&written(|out| hsk.encode_to(out))), hsk);
    }
    if let Ok(aip) = Aip::decode(body) {
        assert_eq!(Aip::decode(&written(|out| aip.encode_to(out))), Ok(aip));
    }
    if let Ok(request) = VipRequest::decode(body) {
        assert_eq!(written(|out| request.encode_to(out)), body);
    }
    if let Ok(answer) = VipAnswer::decode(body) {
        assert_eq!(written(|out| answer.encode_to(out)), body);
    }
    if let Ok(list) = ClientList::decode(body) {
        assert_eq!(written(|out| list.encode_to(out)), body);
    }
    if let Ok(info) = SessionInfo::decode(body) {
        assert_eq!(SessionInfo::decode(&written(|out| info.encode_to(out))), Ok(info));
    }
    if let Ok(hash) = ClientHash::decode(body) {
        assert_eq!(written(|out| hash.encode_to(out)), body[..64].to_ascii_lowercase());
        assert_eq!(hash.to_string().parse(), Ok(hash));
    }
    let report = ErrorReport::decode(body);
    assert_eq!(ErrorReport::decode(&written(|out| report.encode_to(out))), report);
}

/// The body of the frame that `write` appends.
fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out.split_off(HEADER_LEN)
}
