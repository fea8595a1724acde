//! Who is asked, how often, and for how long.

use broker_ipc::Secret;
use broker_ssh::SecretString;
use tokio::task::JoinHandle;

use super::*;

fn queue() -> Arc<PromptQueue> {
    PromptQueue::new(Events::default(), CancellationToken::new())
}

/// A client that answers for one profile or for all.
fn client(queue: &Arc<PromptQueue>, profile: Option<&str>) -> ClientResponder {
    let client = queue.arrived();
    client.attend(profile.map(str::to_owned));
    client
}

fn password(server: &str) -> Prompt {
    Prompt::Password {
        server: server.into(),
        user: "me".into(),
        again: false,
    }
}

fn host_key() -> Prompt {
    Prompt::HostKey {
        server: "host:22".into(),
        algorithm: "ssh-ed25519".into(),
        fingerprint: "SHA256:abc".into(),
        changed_from: None,
    }
}

/// A connection attempt that asks.
fn ask(
    queue: &Arc<PromptQueue>,
    profile: &str,
    prompt: Prompt,
) -> JoinHandle<Result<Answer, NoAnswer>> {
    let responder = queue.responder(profile);
    #[expect(
        clippy::disallowed_methods,
        reason = "the test's runtime ends its tasks"
    )]
    tokio::spawn(async move { responder.ask(prompt).await })
}

fn texts(id: u64, texts: &[&str]) -> AnswerPrompt {
    let secret = |text: &&str| Secret::from(zeroize::Zeroizing::new((*text).to_owned()));
    AnswerPrompt {
        id,
        confirm: None,
        texts: Some(texts.iter().map(secret).collect()),
    }
}

fn confirm(id: u64, confirm: Option<bool>) -> AnswerPrompt {
    AnswerPrompt {
        id,
        confirm,
        texts: None,
    }
}

async fn next(client: &ClientResponder) -> u64 {
    client.next(None).await.unwrap().unwrap().id
}

/// The texts of an answer, for comparison.
fn told(outcome: Result<Answer, NoAnswer>) -> Result<Vec<String>, NoAnswer> {
    use broker_ssh::ExposeSecret;
    let plain = |text: &SecretString| text.expose_secret().to_owned();
    match outcome? {
        Answer::Texts(texts) => Ok(texts.iter().map(plain).collect()),
        Answer::Confirm(yes) => panic!("confirmed: {yes}"),
    }
}

#[tokio::test(start_paused = true)]
async fn with_nobody_there_a_prompt_fails_at_once() {
    let queue = queue();
    let began = Instant::now();
    let _for_another = client(&queue, Some("other"));
    let _idle = queue.arrived();
    let asked = ask(&queue, "work", password("host")).await.unwrap();
    assert_eq!(told(asked), Err(NoAnswer::Nobody));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_answer_reaches_the_dial_once() {
    let queue = queue();
    let person = client(&queue, None);
    let asked = ask(&queue, "work", password("host"));
    let id = next(&person).await;
    queue.answer(texts(id, &["hunter2"])).unwrap();
    let late = queue.answer(texts(id, &["again"])).unwrap_err();
    assert_eq!(late.code, ErrorCode::NotFound);
    assert_eq!(told(asked.await.unwrap()), Ok(vec!["hunter2".into()]));
    assert_eq!(person.next(Some(id)).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_fit_leaves_the_prompt_pending() {
    let queue = queue();
    let person = client(&queue, None);
    let (key, secret) = (
        ask(&queue, "work", host_key()),
        ask(&queue, "work", password("host")),
    );
    let first = next(&person).await;
    for wrong in [texts(first, &["yes"]), texts(first, &[])] {
        assert_eq!(
            queue.answer(wrong).unwrap_err().code,
            ErrorCode::InvalidParams
        );
    }
    queue.answer(confirm(first, Some(true))).unwrap();
    let second = person.next(Some(first)).await.unwrap().unwrap().id;
    for wrong in [
        texts(second, &[]),
        texts(second, &["a", "b"]),
        confirm(second, Some(true)),
    ] {
        assert_eq!(
            queue.answer(wrong).unwrap_err().code,
            ErrorCode::InvalidParams
        );
    }
    queue.answer(confirm(second, None)).unwrap();
    assert!(matches!(key.await.unwrap(), Ok(Answer::Confirm(true))));
    assert_eq!(told(secret.await.unwrap()), Err(NoAnswer::Declined));
}

#[tokio::test(start_paused = true)]
async fn dials_with_one_prompt_share_one_answer() {
    let queue = queue();
    let person = client(&queue, None);
    let dials = ["work", "work", "home"].map(|profile| ask(&queue, profile, password("host")));
    let id = next(&person).await;
    tokio::task::yield_now().await;
    queue.answer(texts(id, &["hunter2"])).unwrap();
    for dial in dials {
        assert_eq!(told(dial.await.unwrap()), Ok(vec!["hunter2".into()]));
    }
    assert_eq!(person.next(Some(id)).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_command_that_caused_the_dial_is_asked_before_others() {
    let queue = queue();
    let command = client(&queue, Some("work"));
    let all = client(&queue, None);
    let _dials = [
        ask(&queue, "work", password("one")),
        ask(&queue, "home", password("two")),
    ];
    let (first, second) = (next(&command).await, next(&all).await);
    assert_ne!(first, second);
}

#[tokio::test(start_paused = true)]
async fn the_prompt_of_one_who_leaves_goes_to_the_next() {
    let queue = queue();
    let (older, newer) = (client(&queue, None), client(&queue, None));
    let asked = ask(&queue, "work", password("host"));
    let id = next(&newer).await;
    drop(newer);
    assert_eq!(next(&older).await, id);
    drop(older);
    assert_eq!(told(asked.await.unwrap()), Err(NoAnswer::Left));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_left_takes_on_no_more_prompts() {
    let queue = queue();
    let leaving = client(&queue, None);
    leaving.leave();
    // Its request was in progress when it left.
    leaving.attend(None);
    let asked = ask(&queue, "work", password("host")).await.unwrap();
    assert_eq!(told(asked), Err(NoAnswer::Nobody));
    let wait = leaving.next(None).await.unwrap_err();
    assert_eq!(wait.code, ErrorCode::InvalidParams);
}

#[tokio::test(start_paused = true)]
async fn a_prompt_waits_two_minutes() {
    let queue = queue();
    let person = client(&queue, None);
    let began = Instant::now();
    let asked = ask(&queue, "work", password("host"));
    let id = next(&person).await;
    // tidy: sleeps because the time here is virtual
    tokio::time::sleep(TIMEOUT / 2).await;
    let joined = ask(&queue, "work", password("host"));
    assert_eq!(told(asked.await.unwrap()), Err(NoAnswer::TimedOut));
    assert_eq!(told(joined.await.unwrap()), Err(NoAnswer::TimedOut));
    assert_eq!(began.elapsed(), TIMEOUT);
    assert_eq!(person.next(Some(id)).await.unwrap(), None);
    assert_eq!(
        queue.answer(confirm(id, None)).unwrap_err().code,
        ErrorCode::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn a_prompt_is_withdrawn_with_the_last_dial_that_asks_it() {
    let queue = queue();
    let person = client(&queue, None);
    let dials = [0; 2].map(|_| ask(&queue, "work", password("host")));
    let id = next(&person).await;
    tokio::task::yield_now().await;
    let [first, second] = dials;
    first.abort();
    let _ = first.await;
    let still = timeout_at(
        Instant::now() + Duration::from_secs(1),
        person.next(Some(id)),
    );
    assert!(still.await.is_err(), "another dial still asks");
    second.abort();
    assert_eq!(person.next(Some(id)).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn prompts_are_bounded() {
    let queue = queue();
    let _person = client(&queue, None);
    let dials: Vec<_> = (0..MAX_PENDING)
        .map(|n| ask(&queue, "work", password(&n.to_string())))
        .collect();
    tokio::task::yield_now().await;
    let one_more = ask(&queue, "work", password("more")).await.unwrap();
    assert_eq!(told(one_more), Err(NoAnswer::TooMany));
    assert!(dials.iter().all(|dial| !dial.is_finished()));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_told_of_the_end() {
    let stop = CancellationToken::new();
    let queue = PromptQueue::new(Events::default(), stop.clone());
    let person = client(&queue, None);
    stop.cancel();
    assert_eq!(
        person.next(None).await.unwrap_err().code,
        ErrorCode::ShuttingDown
    );
    let stranger = queue.arrived();
    assert_eq!(
        stranger.next(None).await.unwrap_err().code,
        ErrorCode::InvalidParams
    );
}
