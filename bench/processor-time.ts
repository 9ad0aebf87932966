import { readdirSync, readFileSync } from 'node:fs';

/** The kernel counts in hundredths of a second wherever Node runs. */
const MS_PER_TICK = 10;

/** Processor time of processes and their children so far, in milliseconds; nothing where the system has no `/proc`. */
export function cpuMsOf<Name extends string>(pids: Readonly<Record<Name, number>>): Partial<Record<Name, number>> {
  if (process.platform !== 'linux') return {};
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => read(Number(name)));
  const total = (pid: number): number =>
    processes
      .filter((one) => one.pid === pid || one.parent === pid)
      .reduce((ms, one) => ms + (one.pid === pid ? one.ms + one.reapedMs : one.ms), 0);
  return Object.fromEntries(Object.entries<number>(pids).map(([name, pid]) => [name, total(pid)])) as Record<
    Name,
    number
  >;
}

function read(pid: number): { pid: number; parent: number; ms: number; reapedMs: number }[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name, in parentheses, may itself hold spaces and parentheses: count from its end.
    const fields = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const [parent, user, system, reapedUser, reapedSystem] = [1, 11, 12, 13, 14].map((at) => fields[at] as number);
    return [
      {
        pid,
        parent: parent as number,
        ms: ((user as number) + (system as number)) * MS_PER_TICK,
        reapedMs: ((reapedUser as number) + (reapedSystem as number)) * MS_PER_TICK,
      },
    ];
  } catch {
    // It has ended in between.
    return [];
  }
}
