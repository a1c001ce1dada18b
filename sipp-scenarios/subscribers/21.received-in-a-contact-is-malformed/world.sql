select world.chain('u21', '88621');
