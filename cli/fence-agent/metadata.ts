/** What fencers are told of the agent: XML in the shape of ClusterLabs' fence agents. Pure. */
import { OPTION_ROWS } from './options.ts'

const LONG =
  'fence_rackward switches nodes of Rackward on and off through its conductor, and answers when the power was read back. ' +
  'A host of its mesh is never switched off at the word of another: off answers when the mesh itself has proven the host ' +
  'dead and fenced it, and fails with the reason when the mesh does not.'

const ACTION_LINES = [
  '<action name="on" automatic="0" />',
  ...['off', 'reboot', 'status', 'monitor', 'list', 'metadata', 'validate-all'].map(
    (name) => `<action name="${name}" />`,
  ),
]

export function metadata(): string {
  const parameters = OPTION_ROWS.map(([name, { flag, long, type, says, fallback, required, old }]) => {
    const mixed = [flag, type === 'boolean' ? long : `${long}=[value]`].filter((one) => one !== null).join(', ')
    const value = fallback === undefined ? '' : ` default="${fallback}"`
    const obsoletes = old === undefined ? '' : ` obsoletes="${old}"`
    return [
      `<parameter name="${name}" unique="0" required="${required === true || name === 'ip' || name === 'plug' ? 1 : 0}"${obsoletes}>`,
      `<getopt mixed="${mixed}" />`,
      `<content type="${type}"${value} />`,
      `<shortdesc lang="en">${says}</shortdesc>`,
      '</parameter>',
    ].join('\n')
  })
  return [
    '<?xml version="1.0" ?>',
    '<resource-agent name="fence_rackward" shortdesc="Fence agent for Rackward">',
    `<longdesc>${LONG}</longdesc>`,
    '<vendor-url></vendor-url>',
    '<parameters>',
    ...parameters,
    '</parameters>',
    '<actions>',
    ...ACTION_LINES,
    '</actions>',
    '</resource-agent>',
    '',
  ].join('\n')
}
