#include "tools/commands.h"

int main(int argc, char** argv) { return cytograd::run_command_line(argc, argv); }
