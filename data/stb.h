// stb_image and stb_image_write as this project uses them. Internal to data/: image.cpp reads and writes with them,
// stb.cpp has them compiled.
#pragma once

#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_WRITE_NO_STDIO

#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
