// Adds up what is missing and what counters have, and says whether the one explains the other.

/** kB that an engine may grow. */
const GROWTH = 1000;
/** A kernel counter counts buffers, and with the offloads a buffer holds up to this many packets. */
const PACKETS_A_BUFFER = 64;

/** @returns { lines, isGood } */
export function judge({ flows, tcp, kernel, engine, between, memory }) {
  const engineDrops = sum(engine);
  const kernelDrops = sum(kernel);
  const missing = flows.reduce((total, { sent, received }) => total + sent - received, 0);
  const duplicates = flows.filter(({ sent, received }) => received > sent);
  const most = engineDrops + kernelDrops * PACKETS_A_BUFFER;
  const lostBetween = between.reduce((total, { sent, received }) => total + Math.max(0, sent - received), 0);
  const faults = [
    ...duplicates.map(({ name, from, to }) => `${name} ${from} → ${to}: more were received than sent`),
    ...(missing > most ? [`${missing} packets are missing, and the counters explain ${most} at most`] : []),
    ...(lostBetween > most
      ? [`${lostBetween} packets are missing between the engines, and the counters explain ${most} at most`]
      : []),
    ...memory.flatMap(({ since, before, after }, index) =>
      after - before > GROWTH
        ? [`engine ${index + 1} has grown by ${after - before} kB since second ${since}: more than ${GROWTH}`]
        : [],
    ),
  ];
  const exactly = missing <= engineDrops + kernelDrops ? '' : ` (of up to ${PACKETS_A_BUFFER} packets each)`;
  const explained =
    missing === 0
      ? 'no packet is missing'
      : `${missing} packets are missing, and counters have them${exactly}`;
  return {
    isGood: faults.length === 0,
    lines: [
      ...flows.map(
        ({ name, from, to, sent, refused, received }) =>
          `  ${name} ${from} → ${to}: sent ${sent}, received ${received}, missing ${sent - received}` +
          (refused > 0 ? `, refused by the sender's kernel ${refused}` : ''),
      ),
      ...tcp.map(
        ({ from, to, megabits, retransmits }) =>
          `  TCP ${from} → ${to}: ${megabits} Mbit/s, retransmits ${retransmits}`,
      ),
      ...between.map(
        ({ from, to, sent, received }) =>
          `  engine ${from} → engine ${to}, all of it: sent ${sent}, received ${received}, missing ${sent - received}`,
      ),
      ...counterLines('engines', engine),
      ...counterLines('kernel', kernel),
      ...memory.map(
        ({ since, before, after }, index) =>
          `  engine ${index + 1}: memory ${before} kB after ${since} s, ${after} kB at the end (${after - before})`,
      ),
      ...(faults.length === 0
        ? [`good: ${explained}; memory is flat`]
        : faults.map((fault) => `BAD: ${fault}`)),
    ],
  };
}

function sum(counters) {
  return counters.reduce((total, [, count]) => total + count, 0);
}

function counterLines(whose, counters) {
  return counters.length === 0
    ? [`  drops counted by the ${whose}: none`]
    : counters.map(([what, count]) => `  drops counted by the ${whose}: ${what} ${count}`);
}
