import type { FaultRule } from '../src/embedded/simulated-claude/faults.js';
import { type CallRecord, DEFAULT_LATENCY, type LatencyOptions } from '../src/embedded/simulated-claude/types.js';

/** Nobody meets a rate limit here: the bare side has nothing that would wait for one. */
const NO_LIMITS = { requestsPerMinute: 1e9, inputTokensPerMinute: 1e12, outputTokensPerMinute: 1e12 };

/** The simulated Claude of the lab, by its control API. */
export class Simulator {
  constructor(private readonly url: string) {}

  /** No limits, no faults, the default latency, an empty log and prompt cache. */
  async reset(): Promise<void> {
    await this.control('PUT', 'limits', NO_LIMITS);
    await this.control('DELETE', 'faults');
    await this.setLatency(DEFAULT_LATENCY);
    await this.control('DELETE', 'cache');
    await this.forgetCalls();
  }

  /** Empties the log, which keeps a bounded number of calls. */
  async forgetCalls(): Promise<void> {
    await this.control('DELETE', 'calls');
  }

  async setLatency(latency: LatencyOptions): Promise<void> {
    await this.control('PUT', 'latency', latency);
  }

  async setFaults(faults: readonly FaultRule[]): Promise<void> {
    await this.control('PUT', 'faults', faults);
  }

  /** Successful calls since the last reset, oldest first. */
  async calls(): Promise<readonly CallRecord[]> {
    const { calls } = (await this.control('GET', 'calls?state=succeeded')) as { calls: CallRecord[] };
    return calls;
  }

  private async control(method: string, route: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.url}/__sim/${route}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer: unknown = await response.json();
    if (!response.ok) throw new Error(`The simulated Claude refuses ${method} ${route}: ${JSON.stringify(answer)}`);
    return answer;
  }
}
