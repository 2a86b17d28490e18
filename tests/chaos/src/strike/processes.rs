//! Blows against our own processes. Each returns how often it struck; the supervisor counts crash points.

use super::{chain, until};
use crate::house::{House, both, everyone};
use crate::plan::Step;
use harness::{Instance, Service};
use nix::sys::signal::Signal;
use runtime::failpoint::{
    CrashPoint, REFUNDS_APPENDED_NOT_ACKED, REFUNDS_DECIDED_NOT_APPENDED, REPLACEMENT_NOT_BROADCAST, ROWS_COMMITTED,
    WAITING_PAYMENT_HALF_JUDGED,
};
use std::time::Duration;

/// C29: asked to leave, a process has left by then.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);

/// Crash points that few orders pass: the first pass kills. So it does in the operator, who helps few.
const RARE: [CrashPoint; 4] =
    [REPLACEMENT_NOT_BROADCAST, WAITING_PAYMENT_HALF_JUDGED, REFUNDS_DECIDED_NOT_APPENDED, REFUNDS_APPENDED_NOT_ACKED];

/// No process may reach the point while a neighbour is unavailable; then it is armed again.
const TRIES: usize = 3;

/// Between two kills of a rolling one.
const ROLL: Duration = Duration::from_millis(400);

/// The process of a rebuild beside the two that project.
pub const REBUILD: Instance = Instance(Service::ReadProjector, 2);

/// Both instances die at the crash point, or get another life after a while.
pub async fn crash(house: &House, step: &Step, service: Service, point: CrashPoint) -> u64 {
    let name = step.blow.to_string();
    let is_rare = service == Service::Operator || RARE.contains(&point);
    let pass = if is_rare { 1 } else { 1 + step.roll(3) };
    let before = house.journal.count(&name);
    let mut looks = 0_u32;
    for _ in 0..TRIES {
        house.arm(service, &name, &format!("{point}:{pass}")).await;
        let died = until(async || {
            // A replacement is made where a fee spike prices out what is pooled: what was signed while fees were low.
            match looks % 80 {
                0 if point == REPLACEMENT_NOT_BROADCAST => chain::calm(house).await,
                50 if point == REPLACEMENT_NOT_BROADCAST => chain::spike(house).await,
                _ => {}
            }
            looks += 1;
            house.journal.count(&name) > before
        })
        .await;
        tokio::time::sleep(step.lasts / 4).await;
        house.disarm(service).await;
        if died {
            break;
        }
    }
    0
}

/// A rebuild into a schema of its own dies behind its first commit. It is run to its end when the run is over.
pub async fn rebuild(house: &House, step: &Step) -> u64 {
    let kill_at = format!("{ROWS_COMMITTED}:{}", 1 + step.roll(4));
    let environment = [("DATABASE_SCHEMA", "rebuilt"), ("PAYMINT_KILL_AT", kill_at.as_str())];
    house.stack.lock().await.spawn(REBUILD, &environment);
    let mut dies = async || {
        let mut stack = house.stack.lock().await;
        if stack.process(REBUILD).is_running() {
            return false;
        }
        let died = stack.process(REBUILD).was_killed();
        if !died {
            // While a neighbour is away it does not even start.
            stack.spawn(REBUILD, &environment);
        }
        died
    };
    for _ in 0..TRIES {
        if until(&mut dies).await {
            return 1;
        }
    }
    house.stack.lock().await.kill(REBUILD);
    0
}

/// Cuts the event streams; listeners continue at the other instance.
pub async fn streams(house: &House, step: &Step) -> u64 {
    for instance in both(Service::Api) {
        house.kill(instance).await;
        tokio::time::sleep(step.lasts).await;
    }
    2
}

/// One process of each service is asked to leave, and does.
pub async fn terminate(house: &House, step: &Step) -> u64 {
    let nth = usize::try_from(step.roll(2)).unwrap();
    for service in Service::ALL {
        let instance = Instance(service, nth);
        house.stack.lock().await.process(instance).signal(Signal::SIGTERM);
        let begun = std::time::Instant::now();
        // Its successor may be there already; it has left all the same.
        let pid = house.stack.lock().await.process(instance).pid();
        let left = until(async || {
            let mut stack = house.stack.lock().await;
            let process = stack.process(instance);
            process.pid() != pid || !process.is_running()
        })
        .await;
        if !left || begun.elapsed() > LEAVES_WITHIN {
            house.found(format!("C29: {instance} took {} ms to leave", begun.elapsed().as_millis()));
        }
    }
    u64::try_from(Service::ALL.len()).unwrap()
}

/// Everything but the chain is killed.
pub async fn everything(house: &House, step: &Step) -> u64 {
    let mut stack = house.stack.lock().await;
    for instance in everyone() {
        house.forget(instance);
        stack.process(instance).signal(Signal::SIGKILL);
    }
    stack.servers.nats.kill();
    stack.servers.postgres.kill();
    tokio::time::sleep(step.lasts).await;
    stack.servers.nats.restart().await.unwrap();
    stack.servers.postgres.restart().await.unwrap();
    1
}

/// Stopped for so long that others have taken over.
pub async fn zombie(house: &House, step: &Step, service: Service) -> u64 {
    let instance = Instance(service, usize::try_from(step.roll(2)).unwrap());
    for _ in 0..TRIES {
        let pid = {
            let mut stack = house.stack.lock().await;
            stack.process(instance).signal(Signal::SIGSTOP);
            stack.process(instance).pid()
        };
        tokio::time::sleep(step.lasts).await;
        let mut stack = house.stack.lock().await;
        stack.process(instance).signal(Signal::SIGCONT);
        // One that was on its way out, for want of a neighbour, slept for nothing.
        if stack.process(instance).pid() == pid {
            return 1;
        }
    }
    0
}

/// Twice as many as there are processors spin beside everything.
pub async fn starved(step: &Step) -> u64 {
    let until = std::time::Instant::now() + step.lasts;
    let spinners = 2 * std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    for _ in 0..spinners {
        std::thread::spawn(move || {
            while std::time::Instant::now() < until {
                std::hint::spin_loop();
            }
        });
    }
    tokio::time::sleep(step.lasts).await;
    1
}

/// Each in turn, again and again.
pub async fn rolling(house: &House, step: &Step) -> u64 {
    let begun = std::time::Instant::now();
    let mut kills = 0;
    for instance in everyone().into_iter().cycle() {
        if begun.elapsed() > step.lasts {
            return kills;
        }
        house.kill(instance).await;
        kills += 1;
        tokio::time::sleep(ROLL).await;
    }
    kills
}
