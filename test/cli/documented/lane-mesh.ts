/** Commands about a mesh. */
import type { Run } from './run-step.ts'

const WHY = { '--why ...': '--why practice' }

/** h1 to h3 are hosts of a mesh in memory, and well. */
export const mesh: readonly Run[] = [
  { command: 'rackward mesh status', prints: /h1/ },
  { command: 'rackward mesh explain HOST', put: { HOST: 'h1' }, prints: /h1/ },
  { command: 'rackward mesh policy' },
  { command: 'rackward mesh policy --isolated fence --why ...', put: WHY },
  { command: 'rackward mesh policy --tenant-lost drain --why ...', put: WHY },
  { command: 'rackward mesh arm --dry-run' },
  { command: 'rackward mesh disarm --why upgrade' },
  { command: 'rackward mesh disarm --why ...', put: WHY },
  { command: 'rackward mesh arm' },
  { command: 'rackward mesh maintenance on HOST --for 2h --why ...', put: { HOST: 'h1', ...WHY } },
  { command: 'rackward mesh drain HOST --wait', put: { HOST: 'h2' } },
  { command: 'rackward mesh fence HOST --confirm HOST', put: { HOST: 'h3' }, prints: /h3/ },
  { command: 'rackward incident list', prints: /h3/ },
  {
    command: 'rackward incident show ID',
    before: 'ID=$(GET /rackward/v1/incidents | grep -om1 "h3[.][0-9.]*" | head -n 1)',
    put: { ID: '$ID' },
    prints: /h3/,
  },
  {
    command: 'rackward incident retry',
    before: `ID=$(GET /rackward/v1/incidents | grep -om1 "h3[.][0-9.]*" | head -n 1)
      until GET /rackward/v1/incidents/$ID | grep -q evacuated; do sleep 0.1; done`,
    put: { retry: 'retry $ID' },
  },
  {
    command: 'rackward incident attest ID --confirm HOST',
    before: 'ID=$(GET /rackward/v1/incidents | grep -om1 "h3[.][0-9.]*" | head -n 1)',
    put: { ID: '$ID', HOST: 'h3' },
  },
  {
    command: 'rackward incident attest | retry | close ID',
    before: 'ID=$(GET /rackward/v1/incidents | grep -om1 "h3[.][0-9.]*" | head -n 1)',
    put: { 'attest | retry | close ID': 'close $ID --confirm h3' },
  },
]
