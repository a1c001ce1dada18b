select world.chain('u06', '88606');
