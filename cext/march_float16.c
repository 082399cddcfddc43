/* The marching solver on 16 lanes of float. */
#define REAL float
#define LANES_OF_FLOAT
#define LANES 16
#define LANES_FILL 512
#define MARCH_KERNEL march_float16
#include "march.h"
