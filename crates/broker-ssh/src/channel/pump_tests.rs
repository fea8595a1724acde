//! A channel's backlog: its bounds alone, shared and on the control connection

use super::*;

/// Short enough to wait for in a test.
const STALL: Duration = Duration::from_millis(20);

async fn room(bytes: usize, leases: usize) -> Result<(), CutReason> {
    let backlog = Backlog::default();
    backlog.push(Bytes::from(vec![0; bytes]));
    let leases = watch::Sender::new(leases);
    wait_for_room(&backlog, &mut leases.subscribe(), STALL).await
}

#[tokio::test]
async fn alone_a_stalled_channel_is_never_cut() {
    assert!(timeout(STALL * 5, room(ALONE_LIMIT, 1)).await.is_err());
    assert_eq!(room(ALONE_LIMIT - 1, 1).await, Ok(()));
}

#[tokio::test]
async fn sharing_it_may_lag_by_the_overflow_limit() {
    assert_eq!(room(OVERFLOW_LIMIT - 1, 2).await, Ok(()));
}

#[tokio::test]
async fn sharing_a_full_overflow_is_cut_after_the_stall_limit() {
    let began = Instant::now();
    assert_eq!(
        room(OVERFLOW_LIMIT, 2).await,
        Err(CutReason::Stalled(STALL))
    );
    assert!(began.elapsed() >= STALL);
}

#[tokio::test]
async fn a_second_channel_makes_room_for_the_first() {
    let backlog = Backlog::default();
    backlog.push(Bytes::from(vec![0; ALONE_LIMIT]));
    let leases = watch::Sender::new(1);
    let mut following = leases.subscribe();
    let (room, _) = tokio::join!(wait_for_room(&backlog, &mut following, STALL), async {
        leases.send_replace(2)
    });
    assert_eq!(room, Ok(()));
}

#[tokio::test]
async fn reading_makes_room() {
    let backlog = Backlog::default();
    backlog.push(Bytes::from(vec![0; OVERFLOW_LIMIT]));
    let leases = watch::Sender::new(2);
    let mut following = leases.subscribe();
    let patient = Duration::from_secs(60);
    let (room, _) = tokio::join!(
        wait_for_room(&backlog, &mut following, patient),
        backlog.read()
    );
    assert_eq!(room, Ok(()));
}
