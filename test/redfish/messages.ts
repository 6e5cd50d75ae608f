/** Error answers in the form of DSP0266, "Error responses". */
import type { Answer, Refusal } from './tree.ts'

export const errorAnswer = ({ status, id, args = [], text, related }: Refusal): Answer => ({
  status,
  body: {
    error: {
      code: 'Base.1.18.GeneralError',
      message: 'A general error has occurred. See ExtendedInfo for more information.',
      '@Message.ExtendedInfo': [message({ id, args, ...(text ? { text } : {}), ...(related ? { related } : {}) })],
    },
  },
})

export const message = ({
  id,
  args = [],
  text,
  related,
  severity = 'Warning',
}: Omit<Refusal, 'status'> & { severity?: 'OK' | 'Warning' | 'Critical' }) => ({
  '@odata.type': '#Message.v1_1_2.Message',
  MessageId: id.includes('.') ? id : `Base.1.18.${id}`,
  Message: text ?? `The service says ${id}${args.length > 0 ? `: ${args.join(', ')}` : ''}.`,
  MessageArgs: args,
  ...(related ? { RelatedProperties: related } : {}),
  Severity: severity,
  Resolution: 'Correct the request and send it again.',
})
