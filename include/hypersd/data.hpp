// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Images and captions from files, training batches.

#include <hypersd/data/augment.hpp>
#include <hypersd/data/batches.hpp>
#include <hypersd/data/canny.hpp>
#include <hypersd/data/captions.hpp>
#include <hypersd/data/coco.hpp>
#include <hypersd/data/coco_masks.hpp>
#include <hypersd/data/image_set.hpp>
#include <hypersd/data/instance.hpp>
#include <hypersd/data/resize.hpp>
#include <hypersd/data/scenes.hpp>

#if __has_include(<zlib.h>)
#include <hypersd/data/fashion_mnist.hpp>
#endif

#if __has_include(<png.h>)
#include <hypersd/data/image_folder.hpp>
#endif
