/** What a deploy and a rebuild take: the image with what speaks against it, the config drive, steps, and how the image
 *  is started. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { getJson, type Act, type Acts, type Change, type ImageList } from '../api.ts'
import { size } from '../format.ts'
import { me } from '../state.ts'
import { Area, Choice, Field, FieldError, textOf } from './dialog.tsx'
import { nodePathOf, objectOf, StepFields, stepsOf } from './step-fields.tsx'

type Image = ImageList['images'][number]

/** Of each part of a config drive: what is bigger belongs on a server of its own. */
const MAX_PART_BYTES = 1024 * 1024
const REBOOTS = [
  ['', 'As it is'],
  ['auto', 'Automatic'],
  ['kexec', 'Jump into it (kexec)'],
  ['cold', 'Through the firmware (cold)'],
] as const
/** Of steps that are asked for without one: after the image was written. */
const STEP_PRIORITY = 50

const isUrl = (text: string): boolean => /^[a-z]+:\/\//i.test(text)

/** What the server has now, and what is typed. */
interface Wish {
  readonly now: Acts
  readonly source: string
  readonly checksum: string
}

/** Its checksum stays when the image does. */
const keepsChecksum = ({ now, source, checksum }: Wish): boolean =>
  checksum === '' && source === now.image_source && now.checksum_fields.length > 0

function warningsOf(wish: Wish, images: readonly Image[]): string[] {
  const { source, checksum } = wish
  const image = images.find((one) => one.id === source || one.names.includes(source))
  return [
    ...(isUrl(source) && checksum === '' && !keepsChecksum(wish)
      ? ['Without a checksum, an image from a URL is refused.']
      : []),
    ...(image?.signed_loader === false
      ? ['Its boot loader carries no signature: a server with Secure Boot will not start it.']
      : []),
    ...(image?.signed_loader === null
      ? ['Whether its boot loader carries a signature is not known: Secure Boot may stop it.']
      : []),
    ...(images.length > 0 && source !== '' && !image && !isUrl(source) && source.length < 36
      ? ['The store has no image of this name.']
      : []),
  ]
}

function ImageFields({ list }: { readonly list: Acts }) {
  const now = list.image_source
  const images = useSignal<readonly Image[]>([])
  const source = useSignal(now ?? '')
  const checksum = useSignal('')
  useEffect(() => {
    if (me.value?.project !== null) return
    // Without the list, the name is typed.
    getJson<ImageList>('/rackward/v1/images').then(
      (found) => (images.value = found.images),
      () => undefined,
    )
  }, [])
  const names = images.value
    .flatMap((image) => image.names.map((name) => [name, size(image.size_bytes)] as const))
    .sort(([a], [b]) => a.localeCompare(b, undefined, { numeric: true }))
  return (
    <>
      <div
        onInput={(event) => {
          const { name, value } = event.target as HTMLInputElement
          if (name === 'image') source.value = value.trim()
          if (name === 'checksum') checksum.value = value.trim()
        }}
      >
        <Field
          name="image"
          label="Image"
          value={now ?? ''}
          list="images"
          api="image_source"
          hint="The name of an image of the store, or a URL."
        />
        <datalist id="images">
          {names.map(([name, bytes]) => (
            <option key={name} value={name}>
              {bytes}
            </option>
          ))}
        </datalist>
        <Field
          name="checksum"
          label="Checksum"
          api="image_checksum"
          hint={
            keepsChecksum({ now: list, source: source.value, checksum: '' })
              ? 'Empty: that of before stays.'
              : 'SHA-256 or SHA-512, for an image from a URL.'
          }
        />
      </div>
      <div role="status">
        {warningsOf({ now: list, source: source.value, checksum: checksum.value }, images.value).map((text) => (
          <p class="tone-warn" key={text}>
            ▲ {text}
          </p>
        ))}
      </div>
    </>
  )
}

export const DeployFields = ({ act, list }: { readonly act: Act; readonly list: Acts }) => (
  <>
    <ImageFields list={list} />
    <Choice name="reboot" label="Start of the image" choices={REBOOTS} value={list.reboot ?? ''} />
    <details>
      <summary>Config drive</summary>
      <Area name="user_data" label="User data" api="user_data" hint="For cloud-init: a script, or #cloud-config." />
      <Area name="network_data" label="Network data (JSON)" api="network_data" hint="links, networks and services." />
      <Area name="meta_data" label="Meta data (JSON)" api="meta_data" hint="Such as hostname and public_keys." />
    </details>
    <details>
      <summary>Deploy steps</summary>
      <StepFields act={act} kind="deploy" least={0} />
    </details>
  </>
)

/** Throws `FieldError`. */
function driveOf(data: FormData): object | undefined {
  for (const [name, label] of [
    ['user_data', 'User data'],
    ['network_data', 'Network data'],
    ['meta_data', 'Meta data'],
  ] as const) {
    const bytes = new TextEncoder().encode(textOf(data, name)).length
    if (bytes > MAX_PART_BYTES)
      throw new FieldError(name, `${label}: it has ${size(bytes)}; at most ${size(MAX_PART_BYTES)} are taken here`)
  }
  const userData = data.get('user_data')
  const drive = {
    ...(textOf(data, 'user_data') === '' ? {} : { user_data: userData }),
    ...named('network_data', objectOf(data, 'network_data', 'Network data')),
    ...named('meta_data', objectOf(data, 'meta_data', 'Meta data')),
  }
  return Object.keys(drive).length === 0 ? undefined : drive
}
const named = (name: string, value: object | undefined) => (value === undefined ? {} : { [name]: value })

/** With its algorithm, which then wins over image_os_hash_algo. */
function digestOf(checksum: string): string {
  if (/^[0-9a-f]{64}$/i.test(checksum)) return `sha256:${checksum}`
  return /^[0-9a-f]{128}$/i.test(checksum) ? `sha512:${checksum}` : checksum
}

/** Throws `FieldError`. */
export function deployChanges(act: Act, data: FormData, list: Acts): Change[] {
  const { method, path, body } = act.request
  const image = textOf(data, 'image')
  if (image === '') throw new FieldError('image', 'Image: name an image of the store, or a URL')
  const digest = digestOf(textOf(data, 'checksum'))
  // The image always: another one may have been set since the form was opened.
  const wanted = [
    ['image_source', image, ''],
    ['image_os_hash_value', digest, ''],
    ['reboot', textOf(data, 'reboot'), list.reboot ?? ''],
  ] as const
  // The checksum of another image would stand against this one.
  const keeps = keepsChecksum({ now: list, source: image, checksum: digest })
  const old = list.checksum_fields.filter((name) => !keeps && !(name === 'image_os_hash_value' && digest !== ''))
  const patch = [
    ...old.map((name) => ({ op: 'remove', path: `/instance_info/${name}` })),
    ...wanted
      .filter(([, value, now]) => value !== '' && value !== now)
      .map(([name, value]) => ({ op: 'add', path: `/instance_info/${name}`, value })),
  ]
  const drive = driveOf(data)
  const steps = stepsOf(data, { priority: STEP_PRIORITY })
  const more = { ...(drive && { configdrive: drive }), ...(steps.length > 0 && { deploy_steps: steps }) }
  const first: Change[] = patch.length > 0 ? [{ method: 'PATCH', path: nodePathOf(act), body: patch }] : []
  return [...first, { method, path, body: { ...body, ...more } }]
}
