/** The images of the store, and the servers that each is on. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { getJson, type ImageList } from '../api.ts'
import { fullTime, size } from '../format.ts'
import { Link, nodePath } from '../router.tsx'

export function Images() {
  const list = useSignal<ImageList | undefined>(undefined)
  const problem = useSignal('')
  useEffect(() => {
    getJson<ImageList>('/rackward/v1/images').then(
      (found) => (list.value = found),
      (error: Error) => (problem.value = error.message),
    )
  }, [])
  return (
    <>
      <div class="bar">
        <h1>Images</h1>
      </div>
      {problem.value && (
        <p class="problem card" role="alert">
          {problem.value}
        </p>
      )}
      {list.value?.images.length === 0 && (
        <div class="empty card">
          <p>
            The store is empty: <code>rackward image add FILE --name NAME</code>
          </p>
        </div>
      )}
      {list.value?.images.map((image) => (
        <section class="card image" key={image.id}>
          <h2>{image.names.join(', ') || image.id.slice(0, 16)}</h2>
          <p class="muted">
            {size(image.size_bytes)} on disk, {size(image.stored_bytes)} in the store, since{' '}
            {fullTime(image.created_at)}
          </p>
          <p>
            <code>{image.id}</code>
          </p>
          <p>
            {image.used_by.length === 0
              ? 'On no server.'
              : `On ${image.used_by.length} ${image.used_by.length === 1 ? 'server' : 'servers'}: `}
            {image.used_by.slice(0, 40).map(({ uuid, name }) => (
              <Link to={nodePath(uuid)} key={uuid} class="tag">
                {name ?? uuid.slice(0, 8)}
              </Link>
            ))}
          </p>
        </section>
      ))}
      {list.value?.broken.map(({ id, why }) => (
        <p class="problem card" key={id}>
          {id.slice(0, 16)}: {why}
        </p>
      ))}
    </>
  )
}
