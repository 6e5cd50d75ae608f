/** What the conductor and the agent both know of partition images: the layout of their disk, the boot menu on it, and
 *  how the file system of its root is read. */
export { readFatFile } from '../../images/fat.ts'
export { fileSystemOf, VOLUME_HEAD_BYTES, type FileSystem } from '../../images/file-system.ts'
export {
  ESP_START_MIB,
  finishPlan,
  neededBytes,
  ROOT_PARTITION,
  ROOT_START_MIB,
  type FinishPlan,
  type FinishWish,
} from '../../images/partition-layout.ts'
export { bootMenu, MENU_BYTES, MENU_PATH } from '../../images/partition-menu.ts'
