/** The simulated Claude of the run, in a process of its own: its options come as JSON, its log outlives it. */
import { runSimulatedClaude } from '../src/embedded/simulated-claude/main.js';

await runSimulatedClaude(JSON.parse(process.argv[2]!));
