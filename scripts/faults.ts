/** Command of scripts/faults: see scripts/lib/fault-rounds.ts. */
import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { newSeed, runFaults } from './lib/fault-rounds.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    seed: { type: 'string', default: newSeed(new Uint8Array(randomBytes(9))) },
    help: { type: 'boolean', short: 'h' },
  },
});
const rounds = Number(values.rounds);
if (values.help === true || !Number.isSafeInteger(rounds) || rounds < 1) {
  process.stdout.write('usage: scripts/faults [--rounds N] [--seed TEXT]\n');
  process.exit(values.help === true ? 0 : 2);
}
process.stdout.write(`seed ${values.seed}, ${String(rounds)} rounds\n`);
const results = await runFaults({
  rounds,
  seed: values.seed,
  onRound: ({ round, fault, killedAfter, refused, answered, unanswered, committedUnanswered, logSize }) => {
    process.stdout.write(
      `round ${String(round)} (${fault}): killed after ${String(killedAfter)} ms; ${String(answered)} answered and in the log, ` +
        `${String(refused)} refused for want of room, ${String(unanswered)} under way (${String(committedUnanswered)} of them decided), log size ${logSize}\n`,
    );
  },
});
const sum = (of: (result: (typeof results)[number]) => number): string =>
  String(results.reduce((total, result) => total + of(result), 0));
process.stdout.write(
  `held in every round: ${sum(({ answered }) => answered)} released answers, each with its leaf; ` +
    `${sum(({ unanswered }) => unanswered)} requests under way, none decided twice\n`,
);
