/** The states of a roll-out and of each node in it, with every way between them. */
import type { Table } from '../../kit/arrows.ts'

export type RolloutState = 'preparing' | 'running' | 'paused' | 'stopped' | 'done' | 'cancelled'
export type RolloutEvent = 'begin' | 'pause' | 'resume' | 'failures' | 'finish' | 'cancel'

export const ROLLOUT_TABLE: Table<RolloutState, RolloutEvent> = {
  first: ['preparing'],
  final: ['done', 'cancelled'],
  arrows: [
    { from: 'preparing', on: 'begin', to: 'running', because: 'all of its nodes are stored' },
    {
      from: 'preparing',
      on: 'cancel',
      to: 'cancelled',
      because: 'whoever stored it ended, or an operator gives it up',
    },
    { from: 'running', on: 'pause', to: 'paused', because: 'an operator wants to look first' },
    { from: 'paused', on: 'resume', to: 'running', because: 'an operator has looked' },
    { from: 'running', on: 'failures', to: 'stopped', because: 'as many nodes failed as stop a roll-out' },
    { from: 'stopped', on: 'resume', to: 'running', because: 'an operator accepts the failures so far' },
    { from: 'running', on: 'finish', to: 'done', because: 'no node is left' },
    { from: 'running', on: 'cancel', to: 'cancelled', because: 'an operator gives it up' },
    { from: 'paused', on: 'cancel', to: 'cancelled', because: 'an operator gives it up' },
    { from: 'stopped', on: 'cancel', to: 'cancelled', because: 'an operator gives it up' },
  ],
}

export type TurnState = 'waiting' | 'running' | 'done' | 'failed'
export type TurnEvent = 'begin' | 'finish' | 'fail'

export const TURN_TABLE: Table<TurnState, TurnEvent> = {
  first: ['waiting'],
  final: ['done', 'failed'],
  arrows: [
    { from: 'waiting', on: 'begin', to: 'running', because: 'its turn has come, and it is as it was when planned' },
    { from: 'waiting', on: 'fail', to: 'failed', because: 'it has changed since the plan was made' },
    { from: 'running', on: 'finish', to: 'done', because: 'its last stage is done' },
    { from: 'running', on: 'fail', to: 'failed', because: 'a stage was refused or failed' },
  ],
}
